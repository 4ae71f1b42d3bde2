# CycleMLP-B1 on ImageNet-1K: DeiT's recipe, from which the released main.py comes, and therefore repeated augmentation.
_base_ = '../_base_/imagenet_300e_warmup5.py'

model = dict(
    backbone=dict(type='mlp_backbones.CycleMLP', arch='b1', out_indices=(3,), drop_path_rate=0.1),
    head=dict(in_channels=512),
)
train_dataloader = dict(sampler=dict(type='RepeatAugSampler'))
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=248)  # crop ratio 0.9
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
