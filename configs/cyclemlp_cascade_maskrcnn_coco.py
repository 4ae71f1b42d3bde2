# Cascade Mask R-CNN on COCO with the variant of CycleMLP that is nearest to ResNet-50 in size.
_base_ = 'cyclemlp/cascade-mask-rcnn_cyclemlp-b2_fpn_giou-4conv1fc_ms-3x_coco.py'
