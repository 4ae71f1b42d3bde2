# Mask R-CNN, MLP-Mixer-S/16, COCO, 1x. No published result. The recipe is that of RaftMLP's released config for
# Mixer-B/16 (AdamW, 1e-4, weight decay 1e-4, no drop path), except for the neck: four blocks of stride 16 are brought
# to strides 4 to 32 as mmseg does for ViT, where RaftMLP gives four maps of stride 16 to FPN. Images are mixed on the
# native grid ('resize'), as RaftMLP does: with 'tile' the tiles of 224 pixels would not see each other. No weights are
# linked: train mlpmixer-s16_300e_in1k first.
_base_ = ['../_base_/backbones/mlpmixer_s16.py', '../_base_/mask_rcnn_1x_coco.py']

model = dict(
    backbone=dict(_delete_=True, **_base_.backbone),
    neck=[_base_.pyramid, dict(type='FPN', in_channels=_base_.channels, out_channels=256, num_outs=5)],
)
