# Semantic FPN, Hire-MLP-T, ADE20K, 40k (8 GPUs x 4 images). No published result. The settings are those of the
# released config of Hire-MLP-S: the weight decay is 0.05, where PVT and CycleMLP have 1e-4.
_base_ = '../_base_/semfpn_40k_ade20k.py'

model = dict(
    backbone=dict(
        type='mlp_backbones.HireMLP',
        arch='tiny',
        drop_path_rate=0.1,
        norm_cfg=dict(type='SyncBN'),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/ggjy/Hire-Wave-MLP.pytorch/releases/download/log/hire_mlp_tiny.pth',
        ),
    ),
    neck=dict(in_channels=[64, 128, 320, 512]),
)
optim_wrapper = dict(optimizer=dict(weight_decay=0.05))
