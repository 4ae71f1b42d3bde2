# Same settings as for msmlp-tiny, but for drop path.
_base_ = 'msmlp-tiny_300e_in1k.py'

model = dict(backbone=dict(arch='base', drop_path_rate=0.5), neck=dict(channels=1024), head=dict(in_channels=1024))
