# No published result. Same settings as for ActiveMLP-T.
_base_ = 'mask-rcnn_activemlp-tiny_fpn_amp-ms-3x_coco.py'

model = dict(backbone=dict(arch='xtiny', init_cfg=dict(checkpoint='mlp_backbones://activemlp_xtiny')))
