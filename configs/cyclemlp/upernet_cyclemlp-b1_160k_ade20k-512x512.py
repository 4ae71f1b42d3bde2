# UperNet, CycleMLP-B1, ADE20K, 160k. No published result. The recipe is that of AS-MLP-T's.
_base_ = '../_base_/upernet_160k_ade20k.py'

model = dict(
    backbone=dict(
        type='mlp_backbones.CycleMLP',
        arch='b1',
        drop_path_rate=0.3,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/ShoufaChen/CycleMLP/releases/download/v0.1/CycleMLP_B1.pth',
        ),
    ),
    decode_head=dict(in_channels=[64, 128, 320, 512]),
    auxiliary_head=dict(in_channels=320),
)
