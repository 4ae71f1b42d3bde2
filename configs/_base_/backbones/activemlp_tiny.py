# ActiveMLP (tiny) for the dense recipes. The README of microsoft/ActiveMLP links to a page with the ImageNet-1K
# weights: save the file as checkpoints/activemlp_tiny.pth.
channels = [64, 128, 320, 512]
backbone = dict(
    type='mlp_backbones.ActiveMLP',
    arch='tiny',
    init_cfg=dict(type='Pretrained', checkpoint='mlp_backbones://activemlp_tiny'),
)
