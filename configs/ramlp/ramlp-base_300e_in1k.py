# Same settings as for ramlp-tiny, but for drop path.
_base_ = 'ramlp-tiny_300e_in1k.py'

model = dict(backbone=dict(arch='base', drop_path_rate=0.4), neck=dict(channels=768), head=dict(in_channels=3072))
