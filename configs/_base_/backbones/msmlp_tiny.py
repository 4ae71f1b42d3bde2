# MS-MLP (tiny) with its published ImageNet-1K weights, for the dense recipes.
channels = [96, 192, 384, 768]
backbone = dict(
    type='mlp_backbones.MSMLP',
    arch='tiny',
    init_cfg=dict(type='Pretrained', checkpoint='mlp_backbones://msmlp_tiny'),
)
