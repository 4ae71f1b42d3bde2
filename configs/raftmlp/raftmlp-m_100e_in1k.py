# RaftMLP-M on ImageNet-1K in 100 epochs. No published result. The network and its drop path are those of
# raftmlp-m_305e_in1k.
_base_ = '../_base_/heads/imagenet_100e.py'

model = dict(
    backbone=dict(type='mlp_backbones.RaftMLP', arch='m', out_indices=(3,), drop_path_rate=0.1, out_norm=True),
    head=dict(in_channels=768),
)
