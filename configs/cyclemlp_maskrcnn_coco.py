# Mask R-CNN with CycleMLP-B2 on COCO, 1x (12 epochs, one scale, 8 GPUs x 2 images).
# Source: CycleMLP paper, arXiv 2107.10224, table 5 and its text: AdamW, learning rate 1e-4, ImageNet-1K weights.
# Where it is silent (weight decay) the authors refer to the PVT repository: 1e-4, all parameters alike. Drop path:
# their released dense classes have none. The authors never released a detection config.
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    'mmdet::_base_/datasets/coco_instance.py',
    'mmdet::_base_/schedules/schedule_1x.py',
    'mmdet::_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='mlp_backbones.CycleMLP',
        arch='b2',
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/ShoufaChen/CycleMLP/releases/download/v0.1/CycleMLP_B2.pth',
        ),
    ),
    neck=dict(in_channels=[64, 128, 320, 512]),
)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-4, weight_decay=1e-4),
)
