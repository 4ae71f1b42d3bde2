# Same settings as for MLP-Mixer-S/16.
_base_ = 'mlpmixer-s16_300e_in1k.py'

model = dict(backbone=dict(arch='s32'))
