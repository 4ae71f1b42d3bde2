# Swin-MLP (tiny_c6) for the dense recipes, with the weights that the README of microsoft/Swin-Transformer links.
channels = [96, 192, 384, 768]
backbone = dict(
    type='mlp_backbones.SwinMLP',
    arch='tiny_c6',
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://github.com/SwinTransformer/storage/releases/download/v1.0.5/'
        'swin_mlp_tiny_c6_patch4_window8_256.pth',
    ),
)
