# The same settings as for Hire-MLP-T, but for the drop path, which is nowhere stated: the dense class's default.
_base_ = 'hiremlp-t_300e_in1k.py'

model = dict(backbone=dict(arch='large', drop_path_rate=0.3), head=dict(in_channels=768))
