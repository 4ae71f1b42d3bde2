# CMT-Ti on ImageNet-1K at 160x160. The authors' README gives epochs, batch, learning rate and weight decay; the other
# settings are Swin's.
_base_ = '../_base_/imagenet_300e.py'

model = dict(
    backbone=dict(type='mlp_backbones.CMT', arch='ti', out_indices=(3,), drop_path_rate=0.1, out_norm=False),
    neck=dict(_delete_=True, type='mlp_backbones.CMTNeck', channels=368),
    head=dict(in_channels=1280),
)
train_pipeline = _base_.train_pipeline
train_pipeline[1].update(scale=160)
train_dataloader = dict(batch_size=256, dataset=dict(pipeline=train_pipeline))
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=183)  # crop ratio 0.875
test_pipeline[2].update(crop_size=160)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=0.0032, weight_decay=0.05))
auto_scale_lr = dict(base_batch_size=2048)
train_cfg = dict(max_epochs=800)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, begin=0, end=20, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=True, begin=20, end=800, convert_to_iter_based=True),
]
