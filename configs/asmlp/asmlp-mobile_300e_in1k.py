# AS-MLP (mobile) of the paper's table 2. No source gives its drop path; 0 is used for a network this small.
_base_ = '../_base_/imagenet_300e.py'

model = dict(
    backbone=dict(
        type='mlp_backbones.ASMLP',
        arch=dict(dims=[64, 128, 256, 512], depths=[2, 2, 2, 2]),
        out_indices=(3,),
        drop_path_rate=0.0,
    ),
    head=dict(in_channels=512),
)
optim_wrapper = dict(clip_grad=dict(max_norm=5.0))
