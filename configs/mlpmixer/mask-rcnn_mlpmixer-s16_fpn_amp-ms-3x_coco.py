# No published result. The protocol of all families (Swin's 3x recipe), with the drop path of RaftMLP's detectors, 0.
# Images are mixed on the native grid. No weights are linked: train mlpmixer-s16_300e_in1k first.
_base_ = ['../_base_/backbones/mlpmixer_s16.py', '../_base_/mask_rcnn_amp_ms_3x_coco.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone),
    neck=[_base_.pyramid, dict(type='FPN', in_channels=_base_.channels, out_channels=256, num_outs=5)],
)
