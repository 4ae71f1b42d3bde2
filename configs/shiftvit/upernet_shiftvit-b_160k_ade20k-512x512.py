# Same settings as for ShiftViT-T. There are no published weights of ShiftViT-B: train shiftvit-b_300e_in1k first.
_base_ = 'upernet_shiftvit-t_160k_ade20k-512x512.py'

model = dict(
    backbone=dict(arch='b', init_cfg=dict(checkpoint='work_dirs/shiftvit-b_300e_in1k/epoch_300.pth')),
    decode_head=dict(in_channels=[128, 256, 512, 1024]),
    auxiliary_head=dict(in_channels=512),
)
