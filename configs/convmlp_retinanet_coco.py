# RetinaNet on COCO with the variant of ConvMLP that is nearest to ResNet-50 in size.
_base_ = 'convmlp/retinanet_convmlp-m_fpn_1x_coco.py'
