# Mask R-CNN on COCO with the variant of AS-MLP that is nearest to ResNet-50 in size.
_base_ = 'asmlp/mask-rcnn_asmlp-t_fpn_ms-1x_coco.py'
