# Mask R-CNN of the measured comparison: slim, on digit scenes of 128x128 pixels.
_base_ = [
    'models/slim_mask_rcnn.py',
    'mmdet::_base_/default_runtime.py',
    'datasets/digit_scenes_instance.py',
    'schedules/matched.py',
]

digit_scenes = dict(root='data/digit_scenes_4800', train=4800)
resize = dict(type='Resize', scale=(128, 128), keep_ratio=True)
load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True, with_mask=True)]
keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')
train_dataloader = dict(
    batch_size=_base_.batch_size,
    dataset=dict(
        data_root=digit_scenes['root'],
        indices=_base_.scenes,
        pipeline=[*load, resize, dict(type='PackDetInputs', meta_keys=keys)],
    ),
)
# Load the truth after resizing, so that scores are those of the scenes at their own size.
val_dataloader = dict(
    dataset=dict(
        data_root=digit_scenes['root'],
        pipeline=[load[0], resize, load[1], dict(type='PackDetInputs', meta_keys=keys)],
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=digit_scenes['root'] + '/annotations/instances_val.json')
test_evaluator = val_evaluator
# The digits of these scenes have sides of 19 to 53 pixels.
model = dict(rpn_head=dict(anchor_generator=dict(scales=[6])))
default_hooks = dict(checkpoint=dict(save_optimizer=False))
