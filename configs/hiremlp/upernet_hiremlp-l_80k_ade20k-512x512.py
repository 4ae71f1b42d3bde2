# No config of this row was released: the settings are those of Hire-MLP-S, with the default drop path of the dense
# class. There are no published weights of Hire-MLP-Large: train hiremlp-l_300e_in1k first.
_base_ = 'upernet_hiremlp-s_80k_ade20k-512x512.py'

model = dict(
    backbone=dict(
        arch='large', drop_path_rate=0.3, init_cfg=dict(checkpoint='work_dirs/hiremlp-l_300e_in1k/epoch_310.pth')
    ),
    decode_head=dict(in_channels=[96, 192, 384, 768]),
    auxiliary_head=dict(in_channels=384),
)
