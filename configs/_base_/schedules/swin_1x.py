# The detection schedule of Swin (arXiv 2103.14030), which AS-MLP follows, in 12 epochs of 16 images. No parameter with
# `norm` in its name decays: those of the backbone. Biases do, and the heads' SyncBN (`bn`), as in the released code.
_base_ = 'mmdet::_base_/schedules/schedule_1x.py'

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(custom_keys=dict(norm=dict(decay_mult=0.0))),
)
# Each process draws its own augmentations, regions and drop path.
randomness = dict(seed=None, diff_rank_seed=True)
