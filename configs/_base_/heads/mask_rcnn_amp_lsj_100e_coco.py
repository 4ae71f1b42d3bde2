# Mask R-CNN in 100 epochs with large-scale jitter (arXiv 2012.07177) at 1024x1024, in mixed precision: data and steps
# are mmdet's, 25 epochs of four passes and 64 images per step. The optimizer is that of ViTDet (arXiv 2203.16527) for
# this length and batch: AdamW, 1e-4; weight decay and its exceptions are Swin's.
_base_ = 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_8xb8-amp-lsj-200e_coco.py'

train_dataloader = dict(dataset=dict(times=4))
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(custom_keys=dict(norm=dict(decay_mult=0.0))),
)
default_hooks = dict(checkpoint=dict(save_best='coco/bbox_mAP'))
# Each process draws its own augmentations, regions and drop path.
randomness = dict(seed=None, diff_rank_seed=True)
