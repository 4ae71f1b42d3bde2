# Same settings as for raftmlp-s.
_base_ = 'raftmlp-s_305e_in1k.py'

model = dict(backbone=dict(arch='l'), head=dict(in_channels=1024))
