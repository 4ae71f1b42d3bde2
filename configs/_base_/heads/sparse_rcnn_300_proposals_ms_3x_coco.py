# Sparse R-CNN with 300 proposals (arXiv 2011.12450), 3x with multi-scale training, as in mmdet and PVTv2's released
# code: AdamW, 2.5e-5 for 16 images per step (PVTv2: 2.5e-5 / 1.4 for 8), weight decay 1e-4, gradients clipped at 1.
_base_ = 'mmdet::sparse_rcnn/sparse-rcnn_r50_fpn_300-proposals_crop-ms-480-800-3x_coco.py'

default_hooks = dict(checkpoint=dict(save_best='coco/bbox_mAP'))
# Each process draws its own augmentations and drop path.
randomness = dict(seed=None, diff_rank_seed=True)
