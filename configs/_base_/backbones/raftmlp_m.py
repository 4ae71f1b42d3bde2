# RaftMLP (m) for the dense recipes. No weights are published: train raftmlp-m_305e_in1k first.
channels = [96, 192, 384, 768]
backbone = dict(
    type='mlp_backbones.RaftMLP',
    arch='m',
    init_cfg=dict(type='Pretrained', checkpoint='work_dirs/raftmlp-m_305e_in1k/epoch_305.pth'),
)
