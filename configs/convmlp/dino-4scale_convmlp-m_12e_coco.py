# DINO with 4 scales, ConvMLP-M, COCO, 12 epochs. No published result. The drop path is that of Mask R-CNN 3x.
_base_ = ['../_base_/backbones/convmlp_m.py', '../_base_/heads/dino_4scale_12e_coco.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone, out_indices=(1, 2, 3), drop_path_rate=0.1),
    neck=dict(in_channels=_base_.channels[1:]),
)
