# Mask R-CNN on COCO with the variant of Swin-MLP that is nearest to ResNet-50 in size.
_base_ = 'swinmlp/mask-rcnn_swinmlp-tiny-c6_fpn_ms-3x_coco.py'
