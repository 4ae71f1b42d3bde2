# RaMLP (tiny) for the dense recipes. The README of xiaolai-sqlai/RaMLP links to a page with the ImageNet-1K weights:
# save the file as checkpoints/ramlp_tiny.pth.
channels = [64, 128, 256, 512]
backbone = dict(
    type='mlp_backbones.RaMLP',
    arch='tiny',
    norm_cfg=dict(type='SyncBN'),
    init_cfg=dict(type='Pretrained', checkpoint='mlp_backbones://ramlp_tiny'),
)
