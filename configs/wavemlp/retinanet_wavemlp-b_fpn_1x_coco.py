# Same settings as for Wave-MLP-T. There are no published weights of Wave-MLP-B: train wavemlp-b_300e_in1k first.
_base_ = 'retinanet_wavemlp-t_fpn_1x_coco.py'

model = dict(
    backbone=dict(arch='b', init_cfg=dict(checkpoint='work_dirs/wavemlp-b_300e_in1k/epoch_310.pth')),
    neck=dict(in_channels=[192, 384, 768]),
)
