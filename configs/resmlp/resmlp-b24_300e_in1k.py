# Same settings as for resmlp-s12.
_base_ = 'resmlp-s12_300e_in1k.py'

model = dict(backbone=dict(arch='b24', out_indices=(23,)), head=dict(in_channels=768))
