# Mask R-CNN, ResMLP-S24, COCO, 3x with multi-scale training in mixed precision. No published result. The protocol of
# all families (Swin's 3x recipe), with the drop path of ImageNet-1K. Images are mixed on the native grid.
_base_ = ['../_base_/backbones/resmlp_s24.py', '../_base_/mask_rcnn_amp_ms_3x_coco.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone, drop_path_rate=0.1),
    neck=[_base_.pyramid, dict(type='FPN', in_channels=_base_.channels, out_channels=256, num_outs=5)],
)
