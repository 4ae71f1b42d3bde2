# Same settings as for MLP-Mixer-S/16.
_base_ = 'upernet_mlpmixer-s16_160k_ade20k-512x512.py'

model = dict(
    backbone=dict(arch='b16', init_cfg=dict(checkpoint='work_dirs/mlpmixer-b16_300e_in1k/epoch_300.pth')),
    decode_head=dict(in_channels=[768] * 4),
    auxiliary_head=dict(in_channels=768),
)
