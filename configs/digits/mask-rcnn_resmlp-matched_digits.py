_base_ = ['../_base_/backbones/resmlp_matched.py', '../_base_/matched_mask_rcnn.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone),
    neck=[
        _base_.pyramid,
        dict(type='FPN', in_channels=_base_.channels, out_channels=_base_.width, num_outs=len(_base_.strides)),
    ],
)
