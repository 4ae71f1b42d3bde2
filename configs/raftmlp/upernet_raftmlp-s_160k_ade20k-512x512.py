# No published result. Same settings as for RaftMLP-M.
_base_ = 'upernet_raftmlp-m_160k_ade20k-512x512.py'

model = dict(
    backbone=dict(arch='s', init_cfg=dict(checkpoint='work_dirs/raftmlp-s_305e_in1k/epoch_305.pth')),
    decode_head=dict(in_channels=[64, 128, 256, 512]),
    auxiliary_head=dict(in_channels=256),
)
