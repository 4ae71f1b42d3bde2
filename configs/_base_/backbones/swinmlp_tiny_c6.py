# Swin-MLP (tiny_c6) for the dense recipes. No weights are linked: train swinmlp-tiny-c6_300e_in1k first.
channels = [96, 192, 384, 768]
backbone = dict(
    type='mlp_backbones.SwinMLP',
    arch='tiny_c6',
    init_cfg=dict(
        type='Pretrained',
        checkpoint='work_dirs/swinmlp-tiny-c6_300e_in1k/epoch_300.pth',
    ),
)
