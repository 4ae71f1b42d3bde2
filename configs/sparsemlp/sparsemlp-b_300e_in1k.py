# Same settings as for Sparse-MLP-S.
_base_ = 'sparsemlp-s_300e_in1k.py'

model = dict(backbone=dict(arch='b', out_indices=(11,)), head=dict(in_channels=768))
