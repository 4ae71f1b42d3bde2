# RetinaNet, MS-MLP-T, COCO, 1x. AdamW, 1e-4, weight decay 0.05 and 16 images per step, as the paper (arXiv
# 2202.06510v1) states. Not stated: which parameters do not decay (Swin's: names with `norm`), drop path (that of
# ImageNet-1K).
_base_ = ['../_base_/backbones/msmlp_tiny.py', '../_base_/retinanet_1x_coco.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone, out_indices=(1, 2, 3), drop_path_rate=0.2),
    neck=dict(in_channels=_base_.channels[1:]),
)
optim_wrapper = dict(optimizer=dict(weight_decay=0.05), paramwise_cfg=dict(custom_keys=dict(norm=dict(decay_mult=0.0))))
