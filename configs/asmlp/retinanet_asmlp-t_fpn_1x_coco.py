# RetinaNet, AS-MLP-T, COCO, 1x. No published result. The recipe is that of CycleMLP's RetinaNet (one scale), with the
# drop path of AS-MLP-T in Mask R-CNN. The README of svip-lab/AS-MLP links to a share page with the ImageNet-1K
# weights: save the file under this name.
_base_ = '../_base_/retinanet_1x_coco.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='mlp_backbones.ASMLP',
        arch='tiny',
        out_indices=(1, 2, 3),
        drop_path_rate=0.2,
        init_cfg=dict(
            type='Pretrained',
            checkpoint='checkpoints/asmlp_tiny.pth',
        ),
    ),
    neck=dict(in_channels=[192, 384, 768]),
)
