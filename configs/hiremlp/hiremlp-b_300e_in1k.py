# Same settings as for Hire-MLP-T except the drop path.
_base_ = 'hiremlp-t_300e_in1k.py'

model = dict(backbone=dict(arch='base', drop_path_rate=0.2))
