# RTMDet-l (arXiv 2212.07784) in 100 epochs, the last 10 without Mosaic and Mixup. These are mmdet's settings for
# backbones with ImageNet weights (Swin-B): AdamW, 1e-3, weight decay 0.05 except on norms and biases, 128 images per
# step, a moving average, GroupNorm in neck and head.
_base_ = 'mmdet::rtmdet/rtmdet_l_swin_b_4xb32-100e_coco.py'

train_dataloader = dict(batch_size=16)
default_hooks = dict(checkpoint=dict(save_best='coco/bbox_mAP'))
auto_scale_lr = dict(enable=False, base_batch_size=128)
# Each process draws its own augmentations and drop path.
randomness = dict(seed=None, diff_rank_seed=True)
