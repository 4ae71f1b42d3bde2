# Same settings as for RaftMLP-M.
_base_ = 'retinanet_raftmlp-m_fpn_1x_coco.py'

model = dict(
    backbone=dict(arch='s', init_cfg=dict(checkpoint='work_dirs/raftmlp-s_305e_in1k/epoch_305.pth')),
    neck=dict(in_channels=[128, 256, 512]),
)
