# No published result. Same settings as for SpiralMLP-B2.
_base_ = 'mask-rcnn_spiralmlp-b2_fpn_amp-ms-3x_coco.py'

model = dict(backbone=dict(arch='b1', init_cfg=dict(checkpoint='work_dirs/spiralmlp-b1_300e_in1k/epoch_300.pth')))
