# No published result. Same settings as for ConvMLP-S.
_base_ = 'mask-rcnn_convmlp-s_fpn_amp-ms-3x_coco.py'

model = dict(backbone=dict(arch='m', init_cfg=dict(checkpoint='mlp_backbones://convmlp_m')))
