# UperNet, Hire-MLP-S, ADE20K, 160k. No published result: the released form is 80k at batch 32, whose optimizer this
# is, at half of its batch and learning rate.
_base_ = '../_base_/upernet_160k_ade20k.py'

model = dict(
    backbone=dict(
        type='mlp_backbones.HireMLP',
        arch='small',
        drop_path_rate=0.2,
        norm_cfg=dict(type='SyncBN'),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/ggjy/Hire-Wave-MLP.pytorch/releases/download/log/hire_mlp_small.pth',
        ),
    ),
    decode_head=dict(in_channels=[64, 128, 320, 512]),
    auxiliary_head=dict(in_channels=320),
)
optim_wrapper = dict(paramwise_cfg=None)
