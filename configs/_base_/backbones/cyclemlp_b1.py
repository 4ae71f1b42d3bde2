# CycleMLP (b1) with its published ImageNet-1K weights, for the dense recipes.
channels = [64, 128, 320, 512]
backbone = dict(
    type='mlp_backbones.CycleMLP',
    arch='b1',
    init_cfg=dict(
        type='Pretrained',
        checkpoint='https://github.com/ShoufaChen/CycleMLP/releases/download/v0.1/CycleMLP_B1.pth',
    ),
)
