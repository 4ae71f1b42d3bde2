_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    'mmdet::_base_/datasets/coco_instance.py',
    'schedules/pvt_1x.py',
    'mmdet::_base_/default_runtime.py',
]

default_hooks = dict(checkpoint=dict(save_best='coco/bbox_mAP'))
