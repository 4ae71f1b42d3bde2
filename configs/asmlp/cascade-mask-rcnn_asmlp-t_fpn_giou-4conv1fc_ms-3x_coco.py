# Cascade Mask R-CNN, AS-MLP-T, COCO, 3x with multi-scale training. The base file of the released config is missing: its
# heads are Swin's, as the file name shows (giou, 4conv1fc). The paper uses shift size 5 everywhere (the default); the
# released config uses 3: model.backbone.shift_size=3. The published ImageNet-1K weights were trained with 5. The README
# of svip-lab/AS-MLP links to a share page with them: save the file under this name.
_base_ = ['../_base_/backbones/asmlp_tiny.py', '../_base_/cascade_mask_rcnn_ms_3x_coco.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone, drop_path_rate=0.2),
    neck=dict(in_channels=_base_.channels),
)
