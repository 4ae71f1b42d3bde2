# Cascade Mask R-CNN on COCO with the variant of Hire-MLP that is nearest to ResNet-50 in size.
_base_ = 'hiremlp/cascade-mask-rcnn_hiremlp-s_fpn_giou-4conv1fc_ms-3x_coco.py'
