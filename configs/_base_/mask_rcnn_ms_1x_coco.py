_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    'coco_multi_scale.py',
    'swin_1x.py',
    'mmdet::_base_/default_runtime.py',
]
