# Same settings as for ViP-Small/7 except the drop path.
_base_ = 'visionpermutator-s7_300e_in1k.py'

model = dict(backbone=dict(arch='m7', drop_path_rate=0.2), head=dict(in_channels=512))
