# Same settings as for ConvMLP-S.
_base_ = 'convmlp-s_300e_in1k.py'

model = dict(backbone=dict(arch='m'))
