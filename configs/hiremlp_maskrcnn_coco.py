# Mask R-CNN on COCO with the variant of Hire-MLP that is nearest to ResNet-50 in size.
_base_ = 'hiremlp/mask-rcnn_hiremlp-s_fpn_1x_coco.py'
