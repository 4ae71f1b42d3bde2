# CMT-XS on ImageNet-1K at 192x192. The authors' README gives epochs, batch, learning rate and weight decay; the other
# settings are Swin's.
_base_ = '../_base_/imagenet_300e.py'

model = dict(
    backbone=dict(type='mlp_backbones.CMT', arch='xs', out_indices=(3,), drop_path_rate=0.08, out_norm=False),
    neck=dict(_delete_=True, type='mlp_backbones.CMTNeck', channels=416),
    head=dict(in_channels=1280),
)
train_pipeline = _base_.train_pipeline
train_pipeline[1].update(scale=192)
train_dataloader = dict(batch_size=256, dataset=dict(pipeline=train_pipeline))
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=219)  # crop ratio 0.875
test_pipeline[2].update(crop_size=192)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=0.0028, weight_decay=0.04))
auto_scale_lr = dict(base_batch_size=2048)
train_cfg = dict(max_epochs=400)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=True, begin=0, end=20, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=1e-5, by_epoch=True, begin=20, end=400, convert_to_iter_based=True),
]
