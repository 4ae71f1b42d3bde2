# Same settings as for CycleMLP-B1.
_base_ = 'cyclemlp-b1_300e_in1k.py'

model = dict(backbone=dict(arch='b4'))
