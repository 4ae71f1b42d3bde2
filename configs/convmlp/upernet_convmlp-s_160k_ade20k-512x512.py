# UperNet, ConvMLP-S, ADE20K, 160k. No published result. The recipe is that of AS-MLP's, with the drop path of all
# ConvMLPs. BatchNorms in their convolution blocks have no `norm` in their names and decay.
_base_ = '../_base_/upernet_160k_ade20k.py'

model = dict(
    backbone=dict(
        type='mlp_backbones.ConvMLP',
        arch='s',
        drop_path_rate=0.1,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://shi-labs.com/projects/convmlp/checkpoints/convmlp_s_imagenet.pth',
        ),
    ),
    decode_head=dict(in_channels=[64, 128, 256, 512]),
    auxiliary_head=dict(in_channels=256),
)
