# Same settings as for Hire-MLP-T except the drop path. There are no published weights of Hire-MLP-Large: train
# hiremlp-l_300e_in1k first.
_base_ = 'mask-rcnn_hiremlp-t_fpn_1x_coco.py'

model = dict(
    backbone=dict(
        arch='large', drop_path_rate=0.3, init_cfg=dict(checkpoint='work_dirs/hiremlp-l_300e_in1k/epoch_310.pth')
    ),
    neck=dict(in_channels=[96, 192, 384, 768]),
)
