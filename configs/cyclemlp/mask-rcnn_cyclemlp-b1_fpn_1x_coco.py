# Mask R-CNN, CycleMLP-B1, COCO, 1x (12 epochs, one scale, 8 GPUs x 2 images). Source: CycleMLP paper, arXiv
# 2107.10224v1, table 5: AdamW, learning rate 1e-4, ImageNet-1K weights. For what it omits (weight decay) the authors
# refer to the PVT repository, whose own Mask R-CNN configs have 2e-4: optim_wrapper.optimizer.lr=2e-4. Drop path: none,
# as in their released dense classes. They never released a detection config.
_base_ = ['../_base_/backbones/cyclemlp_b1.py', '../_base_/mask_rcnn_1x_coco.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone),
    neck=dict(in_channels=_base_.channels),
)
