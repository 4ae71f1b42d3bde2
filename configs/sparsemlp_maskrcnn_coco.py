# Mask R-CNN on COCO with the variant of Sparse-MLP that is nearest to ResNet-50 in size.
_base_ = 'sparsemlp/mask-rcnn_sparsemlp-s_fpn_1x_coco.py'
