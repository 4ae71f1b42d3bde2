# Semantic FPN, Wave-MLP-T, ADE20K, 40k (8 GPUs x 4 images). Source: Wave-MLP paper, arXiv 2111.12294v1, table 4: AdamW,
# learning rate 1e-4, where PVT's code has 2e-4 at this batch: optim_wrapper.optimizer.lr=2e-4. Not given: weight decay
# and testing (PVT's are used); drop path (that of ImageNet-1K); norms (those of Hire-MLP's segmentation code in the
# same repository: SyncBN in the backbone, and output norms; Wave-MLP's own class: model.backbone.norm_cfg.type=BN).
_base_ = ['../_base_/backbones/wavemlp_t.py', '../_base_/semfpn_pvt_40k_ade20k.py']

model = dict(
    backbone=dict(**_base_.backbone, drop_path_rate=0.1),
    neck=dict(in_channels=_base_.channels),
)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
