# No published result. The protocol of all families (Swin's 3x recipe), with the drop path of ImageNet-1K. Images are
# mixed on the native grid. Strides are those of 1x. No weights are linked: train visionpermutator-s14_300e_in1k first.
_base_ = ['../_base_/backbones/visionpermutator_s14.py', '../_base_/mask_rcnn_amp_ms_3x_coco.py']

strides = _base_.strides
model = dict(
    # Maps of all four strides are whole at sides of multiples of 28.
    data_preprocessor=dict(pad_size_divisor=28),
    backbone=dict(_delete_=True, **_base_.backbone, drop_path_rate=0.1),
    neck=[_base_.pyramid, dict(type='FPN', in_channels=_base_.channels, out_channels=256, num_outs=5)],
    rpn_head=dict(anchor_generator=dict(strides=strides)),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=strides[:4]),
        mask_roi_extractor=dict(featmap_strides=strides[:4]),
    ),
)
