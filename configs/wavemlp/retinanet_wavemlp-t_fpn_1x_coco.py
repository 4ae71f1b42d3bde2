# RetinaNet, Wave-MLP-T, COCO, 1x. Source: Wave-MLP paper, arXiv 2111.12294v1, table 3: AdamW, learning rate 1e-4 and
# batch 16, by PVT's recipe, which gives the weight decay. Not given: drop path (that of ImageNet-1K is used); norms
# (those of Hire-MLP's segmentation code in the same repository are used: SyncBN in the backbone, and output norms;
# Wave-MLP's own class: model.backbone.norm_cfg.type=BN).
_base_ = ['../_base_/backbones/wavemlp_t.py', '../_base_/retinanet_1x_coco.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone, out_indices=(1, 2, 3), drop_path_rate=0.1),
    neck=dict(in_channels=_base_.channels[1:]),
)
