# Semantic FPN as in PVT's released code: 40,000 iterations of 32 images (8 GPUs x 4), weight decay on all parameters,
# no warm-up, no gradient clipping. The test is that of ConvMLP's and Hire-MLP's released configs.
_base_ = ['models/semfpn.py', 'datasets/ade20k.py', 'schedules/mmseg_iterations.py']

model = dict(decode_head=dict(num_classes=150))
train_cfg = dict(type='IterBasedTrainLoop', max_iters=40000, val_interval=4000)
default_hooks = dict(checkpoint=dict(interval=4000))
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=2e-4, weight_decay=1e-4))
param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=0.0, by_epoch=False, begin=0, end=40000)]
auto_scale_lr = dict(enable=False, base_batch_size=32)
