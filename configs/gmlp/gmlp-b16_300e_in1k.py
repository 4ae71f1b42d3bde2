# Same settings as for gmlp-ti16.
_base_ = 'gmlp-ti16_300e_in1k.py'

model = dict(backbone=dict(arch='b16'), head=dict(in_channels=512))
