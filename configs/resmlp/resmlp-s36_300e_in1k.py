# Same settings as for resmlp-s12.
_base_ = 'resmlp-s12_300e_in1k.py'

model = dict(backbone=dict(arch='s36', out_indices=(35,)))
