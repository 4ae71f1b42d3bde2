# Mask R-CNN on COCO with the variant of CycleMLP that is nearest to ResNet-50 in size.
_base_ = 'cyclemlp/mask-rcnn_cyclemlp-b2_fpn_1x_coco.py'
