# Same settings as for Sparse-MLP-S.
_base_ = 'sparsemlp-s_300e_in1k.py'

model = dict(backbone=dict(arch='l', out_indices=(13,)), head=dict(in_channels=768))
