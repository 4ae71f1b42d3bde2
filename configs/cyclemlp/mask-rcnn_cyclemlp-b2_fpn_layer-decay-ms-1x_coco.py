# Fine-tuning with layer decay: Mask R-CNN, CycleMLP-B2, COCO, 12 epochs. No published result. The drop path is that of
# Mask R-CNN 3x.
_base_ = ['../_base_/backbones/cyclemlp_b2.py', '../_base_/heads/mask_rcnn_layer_decay_ms_1x_coco.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone, drop_path_rate=0.2),
    neck=dict(in_channels=_base_.channels),
)
