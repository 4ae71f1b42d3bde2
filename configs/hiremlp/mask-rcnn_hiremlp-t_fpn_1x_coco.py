# Mask R-CNN, Hire-MLP-T, COCO, 1x. No published result. No detection code of Hire-MLP was released and its settings
# could not be read: this config uses the 1x recipe of PVT and CycleMLP. PVT's own Mask R-CNN configs have 2e-4:
# optim_wrapper.optimizer.lr=2e-4. SyncBN in the backbone and its drop path are those of the released segmentation code.
_base_ = ['../_base_/backbones/hiremlp_tiny.py', '../_base_/mask_rcnn_1x_coco.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone, drop_path_rate=0.1),
    neck=dict(in_channels=_base_.channels),
)
