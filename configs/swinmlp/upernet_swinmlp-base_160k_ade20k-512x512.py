# No published result. Same settings as for Swin-MLP-T/C6, as with Swin-B and Swin-T.
_base_ = 'upernet_swinmlp-tiny-c6_160k_ade20k-512x512.py'

model = dict(
    backbone=dict(
        arch='base',
        init_cfg=dict(
            checkpoint='https://github.com/SwinTransformer/storage/releases/download/v1.0.5/'
            'swin_mlp_base_patch4_window7_224.pth'
        ),
    ),
    decode_head=dict(in_channels=[128, 256, 512, 1024]),
    auxiliary_head=dict(in_channels=512),
)
