# Cascade Mask R-CNN, ActiveMLP-B, COCO, 3x with multi-scale training. Its result was read in a quotation, which gives
# no settings, and no detection code was released: Swin's 3x recipe, with the drop path of UperNet.
_base_ = ['../_base_/backbones/activemlp_tiny.py', '../_base_/cascade_mask_rcnn_ms_3x_coco.py']

model = dict(
    backbone=dict(
        _delete_=True,
        **dict(
            _base_.backbone, arch='base', init_cfg=dict(type='Pretrained', checkpoint='mlp_backbones://activemlp_base')
        ),
        drop_path_rate=0.2,
    ),
    neck=dict(in_channels=_base_.channels),
)
