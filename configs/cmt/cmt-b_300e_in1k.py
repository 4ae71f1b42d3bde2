# CMT-B on ImageNet-1K at 256x256. The authors' README gives epochs, learning rate per image and weight decay; the other
# settings are Swin's. Its batch is 512.
_base_ = '../_base_/imagenet_300e.py'

model = dict(
    backbone=dict(type='mlp_backbones.CMT', arch='b', out_indices=(3,), drop_path_rate=0.25, out_norm=False),
    neck=dict(_delete_=True, type='mlp_backbones.CMTNeck', channels=608, dropout=0.3),
    head=dict(in_channels=1280),
)
train_pipeline = _base_.train_pipeline
train_pipeline[1].update(scale=256)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=293)  # crop ratio 0.875
test_pipeline[2].update(crop_size=256)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
