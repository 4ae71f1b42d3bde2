# The same settings as for Hire-MLP-T, but for the drop path.
_base_ = 'hiremlp-t_300e_in1k.py'

model = dict(backbone=dict(arch='base', drop_path_rate=0.2))
