# A slim Mask R-CNN for the digit scenes; a config sets the backbone, and its widths for the neck.
_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'

strides = [4, 8, 16, 32]
width = 64
model = dict(
    neck=dict(out_channels=width, num_outs=len(strides)),
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
    # With two to six digits per scene, few proposals and samples are enough.
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
