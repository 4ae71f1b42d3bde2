# Same settings as for activemlp-xtiny.
_base_ = 'activemlp-xtiny_300e_in1k.py'

model = dict(backbone=dict(arch='large'), head=dict(in_channels=768))
