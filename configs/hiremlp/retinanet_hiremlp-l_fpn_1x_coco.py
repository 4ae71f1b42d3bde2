# The same settings as for Hire-MLP-T, but for the drop path. There are no published weights of Hire-MLP-Large: those
# are of hiremlp-l_300e_in1k, trained before.
_base_ = 'retinanet_hiremlp-t_fpn_1x_coco.py'

model = dict(
    backbone=dict(
        arch='large', drop_path_rate=0.3, init_cfg=dict(checkpoint='work_dirs/hiremlp-l_300e_in1k/epoch_300.pth')
    ),
    neck=dict(in_channels=[192, 384, 768]),
)
