# No config of this row was released: the settings of Hire-MLP-S, with the drop path of the dense class's default.
# There are no published weights of Hire-MLP-Large: those are of hiremlp-l_300e_in1k, trained before.
_base_ = 'upernet_hiremlp-s_80k_ade20k-512x512.py'

model = dict(
    backbone=dict(
        arch='large', drop_path_rate=0.3, init_cfg=dict(checkpoint='work_dirs/hiremlp-l_300e_in1k/epoch_300.pth')
    ),
    decode_head=dict(in_channels=[96, 192, 384, 768]),
    auxiliary_head=dict(in_channels=384),
)
