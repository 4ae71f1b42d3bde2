# AS-MLP-T for the dense recipes. The README of svip-lab/AS-MLP links to a share page with the ImageNet-1K weights: save
# the file under this name.
channels = [96, 192, 384, 768]
backbone = dict(
    type='mlp_backbones.ASMLP',
    arch='tiny',
    init_cfg=dict(
        type='Pretrained',
        checkpoint='checkpoints/asmlp_tiny.pth',
    ),
)
