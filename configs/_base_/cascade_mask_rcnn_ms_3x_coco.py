_base_ = ['cascade_mask_rcnn.py', 'coco_multi_scale.py', 'swin_3x.py', 'mmdet::_base_/default_runtime.py']
