# Swin-MLP-T/C6 on ImageNet-1K in 100 epochs. No published result. The network and its drop path are those of
# swinmlp-tiny-c6_300e_in1k.
_base_ = '../_base_/heads/imagenet_100e.py'

model = dict(
    backbone=dict(type='mlp_backbones.SwinMLP', arch='tiny_c6', out_indices=(3,), drop_path_rate=0.2),
    head=dict(in_channels=768),
)
train_pipeline = _base_.train_pipeline
train_pipeline[1].update(scale=256)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=292)  # crop ratio 0.875, as at 224x224
test_pipeline[2].update(crop_size=256)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
