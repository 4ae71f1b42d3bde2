_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py',
    'mmdet::_base_/datasets/coco_detection.py',
    'schedules/pvt_1x.py',
    'mmdet::_base_/default_runtime.py',
]
# RetinaNet reads strides 8 to 32: the backbone gives no other output, whose norm would get no gradient (an error in
# distributed training).
model = dict(neck=dict(start_level=0))
default_hooks = dict(checkpoint=dict(save_best='coco/bbox_mAP'))
