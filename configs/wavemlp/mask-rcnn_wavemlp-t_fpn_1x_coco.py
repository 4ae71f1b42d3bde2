# Mask R-CNN, Wave-MLP-T, COCO, 1x. Source: Wave-MLP paper, arXiv 2111.12294v1, table 3: AdamW, learning rate 1e-4 and
# batch 16, by PVT's recipe, which gives the weight decay. PVT's own Mask R-CNN configs have 2e-4:
# optim_wrapper.optimizer.lr=2e-4. Not given: drop path (that of ImageNet-1K is used; the default of the class is 0);
# norms (those of Hire-MLP's segmentation code in the same repository are used: SyncBN in the backbone, and output
# norms; Wave-MLP's own class has BatchNorm in each process: model.backbone.norm_cfg.type=BN).
_base_ = ['../_base_/backbones/wavemlp_t.py', '../_base_/mask_rcnn_1x_coco.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone, drop_path_rate=0.1),
    neck=dict(in_channels=_base_.channels),
)
