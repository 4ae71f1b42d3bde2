# Wave-MLP (s) with its published ImageNet-1K weights, for the dense recipes.
channels = [64, 128, 320, 512]
backbone = dict(
    type='mlp_backbones.WaveMLP',
    arch='s',
    norm_cfg=dict(type='SyncBN'),
    init_cfg=dict(type='Pretrained', checkpoint='mlp_backbones://wavemlp_s'),
)
