# Same settings as for AS-MLP-T except the drop path.
_base_ = 'asmlp-t_300e_in1k.py'

model = dict(backbone=dict(arch='small', drop_path_rate=0.3))
