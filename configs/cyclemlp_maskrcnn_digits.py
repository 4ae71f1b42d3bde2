# The embedded default: a slim CycleMLP and slim Mask R-CNN heads learn to detect and segment handwritten digits,
# from scratch, on the CPU, in minutes.
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    'mmdet::_base_/default_runtime.py',
    '_base_/digit_scenes_instance.py',
    '_base_/digit_scenes_schedule.py',
]

dims = [32, 64, 160, 256]
strides = [4, 8, 16, 32]
width = 64
model = dict(
    backbone=dict(
        _delete_=True,
        type='mlp_backbones.CycleMLP',
        arch=dict(dims=dims, depths=[2, 2, 4, 2]),
        # The paper's small initial weights are for long schedules and wide layers.
        init_cfg=dict(type='Xavier', layer='Conv2d', distribution='uniform'),
    ),
    neck=dict(in_channels=dims, out_channels=width, num_outs=len(strides)),
    rpn_head=dict(
        in_channels=width,
        feat_channels=32,
        anchor_generator=dict(scales=[8], ratios=[0.7, 1.4], strides=strides),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(
            roi_layer=dict(sampling_ratio=2),
            out_channels=width,
            featmap_strides=strides,
        ),
        bbox_head=dict(in_channels=width, fc_out_channels=256, num_classes=10),
        mask_roi_extractor=dict(
            roi_layer=dict(sampling_ratio=1),
            out_channels=width,
            featmap_strides=strides,
        ),
        mask_head=dict(num_convs=3, in_channels=width, conv_out_channels=48, num_classes=10),
    ),
    # Two to six digits a scene: few proposals and samples will do.
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=200, max_per_img=100),
        rcnn=dict(sampler=dict(num=32, pos_fraction=0.4)),
    ),
    test_cfg=dict(
        rpn=dict(nms_pre=200, max_per_img=50),
        rcnn=dict(max_per_img=20),
    ),
)
