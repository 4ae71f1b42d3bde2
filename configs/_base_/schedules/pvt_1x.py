# The detection schedule of PVT (arXiv 2102.12122), which the 1x rows of CycleMLP and ConvMLP follow: 12 epochs of 16
# images, learning rate / 10 after 8 and 11, warm-up over 500 iterations. Weight decay applies to all parameters; there
# is no gradient clipping.
_base_ = 'mmdet::_base_/schedules/schedule_1x.py'

optim_wrapper = dict(optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, weight_decay=1e-4))
# Each process draws its own augmentations, regions and drop path.
randomness = dict(seed=None, diff_rank_seed=True)
