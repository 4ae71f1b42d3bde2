# CycleMLP (b2) with its published ImageNet-1K weights, for the dense recipes.
channels = [64, 128, 320, 512]
backbone = dict(
    type='mlp_backbones.CycleMLP',
    arch='b2',
    init_cfg=dict(type='Pretrained', checkpoint='mlp_backbones://cyclemlp_b2'),
)
