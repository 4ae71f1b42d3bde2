# mmseg's runtime for training by iterations.
_base_ = '../mmseg_runtime.py'

default_hooks = dict(
    logger=dict(log_metric_by_epoch=False),
    checkpoint=dict(by_epoch=False, interval=16000, save_best='mIoU'),
)
log_processor = dict(by_epoch=False)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
# Each process draws its own augmentations and drop path.
randomness = dict(seed=None, diff_rank_seed=True)
