# No published result. Same settings as for ResMLP-S24.
_base_ = 'mask-rcnn_resmlp-s24_fpn_amp-ms-3x_coco.py'

model = dict(backbone=dict(arch='s12', init_cfg=dict(checkpoint='mlp_backbones://resmlp_s12')))
