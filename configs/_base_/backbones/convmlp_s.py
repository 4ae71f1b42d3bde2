# ConvMLP (s) with its published ImageNet-1K weights, for the dense recipes.
channels = [64, 128, 256, 512]
backbone = dict(
    type='mlp_backbones.ConvMLP',
    arch='s',
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://shi-labs.com/projects/convmlp/checkpoints/convmlp_s_imagenet.pth',
    ),
)
