# No published result. Same settings as for SpiralMLP-B2.
_base_ = 'semfpn_spiralmlp-b2_40k_ade20k-512x512.py'

model = dict(backbone=dict(arch='b1', init_cfg=dict(checkpoint='work_dirs/spiralmlp-b1_300e_in1k/epoch_300.pth')))
