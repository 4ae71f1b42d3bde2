# Same settings as for shiftvit-t-light, but for drop path.
_base_ = 'shiftvit-t-light_300e_in1k.py'

model = dict(backbone=dict(arch='b', drop_path_rate=0.6), head=dict(in_channels=1024))
