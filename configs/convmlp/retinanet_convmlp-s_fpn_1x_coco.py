# RetinaNet, ConvMLP-S, COCO, 1x (12 epochs, one scale, 8 GPUs x 2 images), as released by the authors.
_base_ = ['../_base_/backbones/convmlp_s.py', '../_base_/retinanet_1x_coco.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone, out_indices=(1, 2, 3), drop_path_rate=0.1),
    neck=dict(in_channels=_base_.channels[1:]),
)
