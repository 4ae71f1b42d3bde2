_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    'datasets/coco_multi_scale.py',
    'schedules/swin_1x.py',
    'mmdet::_base_/default_runtime.py',
]

default_hooks = dict(checkpoint=dict(save_best='coco/bbox_mAP'))
