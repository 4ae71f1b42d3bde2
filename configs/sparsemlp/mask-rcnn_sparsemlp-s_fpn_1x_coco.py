# Mask R-CNN, Sparse-MLP-S, COCO, 1x. No published result. The recipe is that of PVT and CycleMLP, with the drop path of
# ImageNet. Four blocks of stride 16 are brought to strides 4 to 32 as mmseg does for ViT; the coarsest is that of the
# sparse blocks. Images are mixed on the native grid ('resize'), as RaftMLP does with Mixer: with 'tile' the tiles of
# 224 pixels would not see each other. No weights are linked: train sparsemlp-s_300e_in1k first.
_base_ = ['../_base_/backbones/sparsemlp_s.py', '../_base_/mask_rcnn_1x_coco.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone, drop_path_rate=0.1),
    neck=[_base_.pyramid, dict(type='FPN', in_channels=_base_.channels, out_channels=256, num_outs=5)],
)
custom_hooks = [dict(type='mlp_backbones.AuxiliaryLossHook')]
