# Same settings as for shiftvit-t-light.
_base_ = 'shiftvit-t-light_300e_in1k.py'

model = dict(backbone=dict(arch='t'))
