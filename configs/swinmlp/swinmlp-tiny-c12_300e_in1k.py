# Same settings as for Swin-MLP-T/C6.
_base_ = 'swinmlp-tiny-c6_300e_in1k.py'

model = dict(backbone=dict(arch='tiny_c12'))
