# MS-MLP-T on ImageNet-1K. The paper gives the drop path, which the released configs have otherwise (0.1, 0.4, 0.5).
_base_ = '../_base_/imagenet_300e.py'

model = dict(
    backbone=dict(type='mlp_backbones.MSMLP', arch='tiny', out_indices=(3,), drop_path_rate=0.2, out_norm=False),
    neck=dict(_delete_=True, type='mlp_backbones.MSMLPNeck', channels=768),
    head=dict(in_channels=768),
)
optim_wrapper = dict(clip_grad=dict(max_norm=5.0))
