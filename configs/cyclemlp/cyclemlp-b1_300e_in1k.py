# CycleMLP-B1 on ImageNet-1K: DeiT's recipe, from which the released main.py comes, and therefore repeated augmentation.
# Its datasets.py tests at crop ratio 0.875, and does not read the ratios of the model files (0.9 for B1 to B3).
_base_ = '../_base_/imagenet_300e_warmup5.py'

model = dict(
    backbone=dict(type='mlp_backbones.CycleMLP', arch='b1', out_indices=(3,), drop_path_rate=0.1),
    head=dict(in_channels=512),
)
train_dataloader = dict(sampler=dict(type='RepeatAugSampler'))
