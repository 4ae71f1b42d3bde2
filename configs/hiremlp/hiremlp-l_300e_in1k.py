# Same settings as for Hire-MLP-B except the drop path, which no source gives: the default of the dense class.
_base_ = 'hiremlp-b_300e_in1k.py'

model = dict(backbone=dict(arch='large', drop_path_rate=0.3), head=dict(in_channels=768))
