# The slim UperNet of the digit scenes with a slim MLP-Mixer, whose native size is that of the scenes.
_base_ = 'cyclemlp_upernet_digits.py'

dim = 64
model = dict(
    backbone=dict(
        type='mlp_backbones.MLPMixer',
        arch=dict(_delete_=True, dim=dim, depth=4, patch_size=4, native_size=_base_.side),
    ),
    decode_head=dict(in_channels=[dim] * 4),
    auxiliary_head=dict(in_channels=dim),
)
