# DINO with 4 scales (arXiv 2203.03605) in 12 epochs, as in mmdet: AdamW, 1e-4, weight decay 1e-4, 16 images per step.
# The backbone learns at a tenth of the rate.
_base_ = 'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py'

default_hooks = dict(checkpoint=dict(save_best='coco/bbox_mAP'))
# Each process draws its own augmentations, noise and drop path.
randomness = dict(seed=None, diff_rank_seed=True)
