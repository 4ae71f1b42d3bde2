# RetinaNet, RaftMLP-M, COCO, 1x. The settings are those of the authors' released config: PVT's 1x with AdamW, 1e-4,
# weight decay 1e-4, no drop path. The paper's result was not read.
_base_ = ['../_base_/backbones/raftmlp_m.py', '../_base_/retinanet_1x_coco.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone, out_indices=(1, 2, 3)),
    neck=dict(in_channels=_base_.channels[1:]),
)
