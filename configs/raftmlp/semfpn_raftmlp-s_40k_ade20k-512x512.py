# Same settings as for RaftMLP-M.
_base_ = 'semfpn_raftmlp-m_40k_ade20k-512x512.py'

model = dict(
    backbone=dict(arch='s', init_cfg=dict(checkpoint='work_dirs/raftmlp-s_305e_in1k/epoch_305.pth')),
    neck=dict(in_channels=[64, 128, 256, 512]),
)
