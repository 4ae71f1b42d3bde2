# No published result. Same settings as for Swin-MLP-T/C6.
_base_ = 'mask-rcnn_swinmlp-tiny-c6_fpn_1x_coco.py'

model = dict(backbone=dict(arch='tiny_c24', init_cfg=dict(checkpoint='mlp_backbones://swinmlp_tiny_c24')))
