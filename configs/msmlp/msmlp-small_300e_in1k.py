# Same settings as for msmlp-tiny, but for drop path.
_base_ = 'msmlp-tiny_300e_in1k.py'

model = dict(backbone=dict(arch='small', drop_path_rate=0.3))
