# ResMLP-S12 on ImageNet-1K. The authors' README gives no settings. This config uses Swin's recipe, DeiT's drop path and
# the authors' test crop ratio 0.9.
_base_ = '../_base_/imagenet_300e.py'

model = dict(
    backbone=dict(type='mlp_backbones.ResMLP', arch='s12', out_indices=(11,), drop_path_rate=0.1),
    head=dict(in_channels=384),
)
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=248)  # crop ratio 0.9
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
