# In mixed precision, as PVTv2's released code.
_base_ = '../cascade_mask_rcnn_ms_3x_coco.py'

optim_wrapper = dict(type='AmpOptimWrapper')
