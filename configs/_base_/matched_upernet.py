# UperNet of the measured comparison: slim, on digit scenes of 128x128 pixels.
_base_ = [
    'models/upernet.py',
    'datasets/digit_scenes_semantic.py',
    'mmseg_runtime.py',
    'schedules/matched.py',
]

side = 128
digit_scenes = dict(root='data/digit_scenes_4800', train=4800)
resize = dict(type='Resize', scale=(side, side), keep_ratio=False)
load = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
train_dataloader = dict(
    batch_size=_base_.batch_size,
    dataset=dict(
        data_root=digit_scenes['root'],
        indices=_base_.scenes,
        pipeline=[*load, resize, dict(type='PackSegInputs')],
    ),
)
# Labels are loaded after resizing, so that scores are those of the scenes at their own size.
test_pipeline = [load[0], resize, load[1], dict(type='PackSegInputs')]
val_dataloader = dict(dataset=dict(data_root=digit_scenes['root'], pipeline=test_pipeline))
test_dataloader = val_dataloader
# As in the slim UperNets of the other digits configs.
head = dict(
    channels=48,
    num_classes=11,
    dropout_ratio=0.0,
    norm_cfg=None,
    loss_decode=dict(class_weight=[0.4] + [1.0] * 10),
)
model = dict(
    data_preprocessor=dict(size=(side, side)),
    decode_head=dict(act_cfg=dict(type='GELU'), **head),
    auxiliary_head=dict(**head),
)
default_hooks = dict(checkpoint=dict(save_optimizer=False))
