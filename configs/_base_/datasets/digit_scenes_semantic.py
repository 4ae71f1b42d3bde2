# DigitScenes as label maps: background and ten digits; the tools write the data where they are missing.
digit_scenes = dict(root='data/digit_scenes', train=800, val=200, seed=0)

_dataset = dict(
    type='BaseSegDataset',
    data_root=digit_scenes['root'],
    metainfo=dict(
        classes=('background', *'0123456789'),
        palette=[
            [40, 40, 40],
            [230, 25, 75],
            [60, 180, 75],
            [255, 225, 25],
            [67, 99, 216],
            [245, 130, 49],
            [145, 30, 180],
            [66, 212, 244],
            [240, 50, 230],
            [191, 239, 69],
            [250, 190, 212],
        ],
    ),
    img_suffix='.png',
    seg_map_suffix='.png',
)
# mmseg's inference_model reads it by this name.
test_pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')]
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        **_dataset,
        data_prefix=dict(img_path='images/train', seg_map_path='labels/train'),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')],
    ),
)
val_dataloader = dict(
    batch_size=4,
    num_workers=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        **_dataset,
        data_prefix=dict(img_path='images/val', seg_map_path='labels/val'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_evaluator = val_evaluator
