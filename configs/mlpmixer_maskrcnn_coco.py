# Mask R-CNN on COCO with the variant of MLP-Mixer that is nearest to ResNet-50 in multiply-adds.
_base_ = 'mlpmixer/mask-rcnn_mlpmixer-s16_fpn_1x_coco.py'
