_base_ = [
    'models/cascade_mask_rcnn.py',
    'datasets/coco_multi_scale.py',
    'schedules/swin_3x.py',
    'mmdet::_base_/default_runtime.py',
]

default_hooks = dict(checkpoint=dict(save_best='coco/bbox_mAP'))
