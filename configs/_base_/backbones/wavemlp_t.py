# Wave-MLP (t) with its published ImageNet-1K weights, for the dense recipes.
channels = [64, 128, 320, 512]
backbone = dict(
    type='mlp_backbones.WaveMLP',
    arch='t',
    norm_cfg=dict(type='SyncBN'),
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://github.com/ggjy/Hire-Wave-MLP.pytorch/releases/download/log-wave/WaveMLP_T.pth.tar',
    ),
)
