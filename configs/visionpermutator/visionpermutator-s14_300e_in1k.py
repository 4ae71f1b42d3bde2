# Same settings as for ViP-Small/7: no source gives any for this variant.
_base_ = 'visionpermutator-s7_300e_in1k.py'

model = dict(backbone=dict(arch='s14'))
