# Hire-MLP (tiny) with its published ImageNet-1K weights, for the dense recipes.
channels = [64, 128, 320, 512]
backbone = dict(
    type='mlp_backbones.HireMLP',
    arch='tiny',
    norm_cfg=dict(type='SyncBN'),
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://github.com/ggjy/Hire-Wave-MLP.pytorch/releases/download/log/hire_mlp_tiny.pth',
    ),
)
