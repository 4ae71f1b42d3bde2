# No published result. Same settings as for CycleMLP-B1.
_base_ = 'mask-rcnn_cyclemlp-b1_fpn_amp-ms-3x_coco.py'

model = dict(backbone=dict(arch='b2', init_cfg=dict(checkpoint='mlp_backbones://cyclemlp_b2')))
