# SpiralMLP (b2) for the dense recipes. No weights are published: train spiralmlp-b2_300e_in1k first.
channels = [64, 128, 320, 512]
backbone = dict(
    type='mlp_backbones.SpiralMLP',
    arch='b2',
    init_cfg=dict(type='Pretrained', checkpoint='work_dirs/spiralmlp-b2_300e_in1k/epoch_300.pth'),
)
