# RetinaNet, AS-MLP-T, COCO, 1x. No published result. The recipe is that of CycleMLP's RetinaNet (one scale), with the
# drop path of AS-MLP-T in Mask R-CNN. The README of svip-lab/AS-MLP links to a share page with the ImageNet-1K
# weights: save the file under this name.
_base_ = ['../_base_/backbones/asmlp_tiny.py', '../_base_/retinanet_1x_coco.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone, out_indices=(1, 2, 3), drop_path_rate=0.2),
    neck=dict(in_channels=_base_.channels[1:]),
)
