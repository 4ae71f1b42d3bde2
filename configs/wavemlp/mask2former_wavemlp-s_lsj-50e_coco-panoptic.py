# Mask2Former, Wave-MLP-S, COCO panoptic, 50 epochs with large-scale jitter. No published result. The drop path is that
# of Mask R-CNN 3x.
_base_ = ['../_base_/backbones/wavemlp_s.py', '../_base_/heads/mask2former_lsj_50e_coco_panoptic.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone, drop_path_rate=0.1),
    panoptic_head=dict(in_channels=_base_.channels),
)
