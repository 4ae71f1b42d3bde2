# Drop path 0.3, as the paper gives for all three; the released config of this row uses 0.5.
_base_ = 'upernet_asmlp-t_160k_ade20k-512x512.py'

model = dict(
    backbone=dict(arch='base', init_cfg=dict(checkpoint='checkpoints/asmlp_base.pth')),
    decode_head=dict(in_channels=[128, 256, 512, 1024]),
    auxiliary_head=dict(in_channels=512),
)
