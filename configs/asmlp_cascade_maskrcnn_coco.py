# Cascade Mask R-CNN on COCO with the variant of AS-MLP that is nearest to ResNet-50 in size.
_base_ = 'asmlp/cascade-mask-rcnn_asmlp-t_fpn_giou-4conv1fc_ms-3x_coco.py'
