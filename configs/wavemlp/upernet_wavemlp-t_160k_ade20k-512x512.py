# UperNet, Wave-MLP-T, ADE20K, 160k. No published result. The recipe is that of Swin and AS-MLP, with the drop path and
# the norms of the other heads.
_base_ = '../_base_/upernet_160k_ade20k.py'

model = dict(
    backbone=dict(
        type='mlp_backbones.WaveMLP',
        arch='t',
        drop_path_rate=0.1,
        norm_cfg=dict(type='SyncBN'),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/ggjy/Hire-Wave-MLP.pytorch/releases/download/log-wave/WaveMLP_T.pth.tar',
        ),
    ),
    decode_head=dict(in_channels=[64, 128, 320, 512]),
    auxiliary_head=dict(in_channels=320),
)
