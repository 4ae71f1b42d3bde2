# A slim CycleMLP under a slim UperNet: semantic segmentation of handwritten digits, from scratch, on the CPU, in
# minutes. Telling digits apart takes a dense network far more digits than a detector, which sees each one cut out and
# scaled: hence four times the scenes, smaller images (more steps in the same time; a glyph has but 8x8 pixels of its
# own), fewer blocks, no norms in the heads (with BatchNorm all digits looked alike to it for 1,600 steps), less weight
# on the background (nine tenths of a scene), and a learning rate that falls late.
_base_ = [
    '_base_/upernet.py',
    '_base_/digit_scenes_semantic.py',
    '_base_/digit_scenes_schedule.py',
    '_base_/mmseg_runtime.py',
]

side = 128
dims = [32, 64, 160, 256]
head = dict(channels=48, num_classes=11, norm_cfg=None, loss_decode=dict(class_weight=[0.4] + [1.0] * 10))
model = dict(
    data_preprocessor=dict(size=(side, side)),
    backbone=dict(type='mlp_backbones.CycleMLP', arch=dict(dims=dims, depths=[1, 1, 2, 1])),
    decode_head=dict(dropout_ratio=0.0, act_cfg=dict(type='GELU'), in_channels=dims, **head),
    auxiliary_head=dict(dropout_ratio=0.0, in_channels=dims[2], **head),
)

digit_scenes = dict(root='data/digit_scenes_4800', train=4800)
resize = dict(type='Resize', scale=(side, side), keep_ratio=False)
train_dataloader = dict(
    batch_size=12,
    dataset=dict(
        data_root=digit_scenes['root'],
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), resize, dict(type='PackSegInputs')],
    ),
)
# Scores are of the scenes at their own size: the labels are loaded after the resizing.
val_dataloader = dict(
    dataset=dict(
        data_root=digit_scenes['root'],
        pipeline=[dict(type='LoadImageFromFile'), resize, dict(type='LoadAnnotations'), dict(type='PackSegInputs')],
    )
)
test_dataloader = val_dataloader

max_epochs = 6
train_cfg = dict(max_epochs=max_epochs)
# The clip and the short memory of the second moment let it learn at four times the rate of the detector.
optim_wrapper = dict(optimizer=dict(lr=4e-3, betas=(0.9, 0.95)), clip_grad=dict(max_norm=1))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR',
        eta_min=1e-5,
        by_epoch=True,
        begin=4,
        end=max_epochs,
        T_max=max_epochs - 4,
        convert_to_iter_based=True,
    ),
]
