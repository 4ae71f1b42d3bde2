# Same settings as for Wave-MLP-T.
_base_ = 'wavemlp-t_300e_in1k.py'

model = dict(backbone=dict(arch='s'))
