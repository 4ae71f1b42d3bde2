# Mask R-CNN on COCO with the variant of ConvMLP that is nearest to ResNet-50 in size.
_base_ = 'convmlp/mask-rcnn_convmlp-m_fpn_1x_coco.py'
