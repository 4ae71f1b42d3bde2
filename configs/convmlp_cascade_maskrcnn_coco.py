# Cascade Mask R-CNN on COCO with the variant of ConvMLP that is nearest to ResNet-50 in size.
_base_ = 'convmlp/cascade-mask-rcnn_convmlp-m_fpn_giou-4conv1fc_ms-3x_coco.py'
