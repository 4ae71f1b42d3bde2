# Same settings as for Hire-MLP-T except the drop path, which no source gives: the default of the dense class.
_base_ = 'hiremlp-t_300e_in1k.py'

model = dict(backbone=dict(arch='small', drop_path_rate=0.1))
