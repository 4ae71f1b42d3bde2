# RetinaNet on COCO with the variant of Wave-MLP that is nearest to ResNet-50 in size.
_base_ = 'wavemlp/retinanet_wavemlp-s_fpn_1x_coco.py'
