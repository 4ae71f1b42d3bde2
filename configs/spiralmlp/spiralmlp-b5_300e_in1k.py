# Same settings as for spiralmlp-b1.
_base_ = 'spiralmlp-b1_300e_in1k.py'

model = dict(backbone=dict(arch='b5'), head=dict(in_channels=768))
