# A slim CycleMLP under a slim UperNet: semantic segmentation of handwritten digits, from scratch, on the CPU, in
# minutes. At first all digits look alike to it, and it must get past that: hence more steps, fewer blocks and a
# gentler learning rate than in cyclemlp_maskrcnn_digits.py, less weight on the background (nine tenths of a scene),
# and no norms in the heads: with BN it was still there after 1,600 steps, without norms it was past it after 600.
_base_ = [
    '_base_/upernet.py',
    '_base_/digit_scenes_semantic.py',
    '_base_/digit_scenes_schedule.py',
    '_base_/mmseg_runtime.py',
]

dims = [32, 64, 160, 256]
head = dict(channels=48, num_classes=11, norm_cfg=None, loss_decode=dict(class_weight=[0.2] + [1.0] * 10))
model = dict(
    data_preprocessor=dict(size=(192, 192)),
    backbone=dict(
        type='mlp_backbones.CycleMLP',
        arch=dict(dims=dims, depths=[1, 1, 2, 1]),
        init_cfg=dict(type='Kaiming', layer='Conv2d', mode='fan_in'),
    ),
    decode_head=dict(dropout_ratio=0.0, in_channels=dims, **head),
    auxiliary_head=dict(dropout_ratio=0.0, in_channels=dims[2], **head),
)

max_epochs = 8
train_cfg = dict(max_epochs=max_epochs, val_interval=2)
optim_wrapper = dict(optimizer=dict(lr=6e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=True, T_max=max_epochs, convert_to_iter_based=True),
]
