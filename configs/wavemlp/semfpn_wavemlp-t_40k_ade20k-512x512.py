# Semantic FPN, Wave-MLP-T, ADE20K, 40k (8 GPUs x 4 images). Source: Wave-MLP paper, arXiv 2111.12294v1, table 4: AdamW,
# learning rate 1e-4, where PVT's code has 2e-4 at this batch. Not stated: weight decay, PVT's; drop path, that of
# ImageNet-1K; norms, as in Hire-MLP's segmentation code of the same repository: SyncBN in the backbone, output norms.
_base_ = '../_base_/semfpn_40k_ade20k.py'

model = dict(
    backbone=dict(
        type='mlp_backbones.WaveMLP',
        arch='t',
        drop_path_rate=0.1,
        norm_cfg=dict(type='SyncBN'),
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://github.com/ggjy/Hire-Wave-MLP.pytorch/releases/download/log-wave/WaveMLP_T.pth.tar',
        ),
    ),
    neck=dict(in_channels=[64, 128, 320, 512]),
)
optim_wrapper = dict(optimizer=dict(lr=1e-4))
