# RetinaNet on COCO with the variant of AS-MLP that is nearest to ResNet-50 in size.
_base_ = 'asmlp/retinanet_asmlp-t_fpn_1x_coco.py'
