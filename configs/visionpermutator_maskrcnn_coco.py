# Mask R-CNN on COCO with the variant of Vision Permutator that has one scale.
_base_ = 'visionpermutator/mask-rcnn_visionpermutator-s14_fpn_1x_coco.py'
