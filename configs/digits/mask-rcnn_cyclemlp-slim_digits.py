# The embedded default: a slim CycleMLP and slim Mask R-CNN heads learn to detect and segment handwritten digits,
# from scratch, on the CPU, in minutes.
_base_ = [
    '../_base_/models/slim_mask_rcnn.py',
    'mmdet::_base_/default_runtime.py',
    '../_base_/datasets/digit_scenes_instance.py',
    '../_base_/schedules/digit_scenes.py',
]

dims = [32, 64, 160, 256]
model = dict(
    backbone=dict(
        _delete_=True,
        type='mlp_backbones.CycleMLP',
        arch=dict(dims=dims, depths=[2, 2, 4, 2]),
        # The paper's small initial weights are for long schedules and wide layers.
        init_cfg=dict(type='Xavier', layer='Conv2d', distribution='uniform'),
    ),
    neck=dict(in_channels=dims),
    roi_head=dict(
        # One sample per bin instead of four saves a twentieth of the time of a step.
        bbox_roi_extractor=dict(roi_layer=dict(sampling_ratio=1)),
        mask_head=dict(loss_mask=dict(loss_weight=2.0)),
    ),
)
