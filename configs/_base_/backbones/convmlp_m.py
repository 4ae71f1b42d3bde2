# ConvMLP (m) with its published ImageNet-1K weights, for the dense recipes.
channels = [64, 128, 256, 512]
backbone = dict(
    type='mlp_backbones.ConvMLP',
    arch='m',
    init_cfg=dict(type='Pretrained', checkpoint='mlp_backbones://convmlp_m'),
)
