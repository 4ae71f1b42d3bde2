# In mixed precision, as most sources trained.
_base_ = 'mask_rcnn_ms_3x_coco.py'

optim_wrapper = dict(type='AmpOptimWrapper')
