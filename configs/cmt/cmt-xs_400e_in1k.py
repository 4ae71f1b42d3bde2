# Same settings as for CMT-Ti, at 192x192 and with what the authors' README has otherwise.
_base_ = 'cmt-ti_800e_in1k.py'

model = dict(backbone=dict(arch='xs', drop_path_rate=0.08), neck=dict(channels=416))
train_pipeline = _base_.train_pipeline
train_pipeline[1].update(scale=192)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=219)  # crop ratio 0.875
test_pipeline[2].update(crop_size=192)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
optim_wrapper = dict(optimizer=dict(lr=0.0028, weight_decay=0.04))
train_cfg = dict(max_epochs=400)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=400)
