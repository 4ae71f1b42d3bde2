# Same settings as for shiftvit-t-light, but for drop path.
_base_ = 'shiftvit-t-light_300e_in1k.py'

model = dict(backbone=dict(arch='s_light', drop_path_rate=0.4))
