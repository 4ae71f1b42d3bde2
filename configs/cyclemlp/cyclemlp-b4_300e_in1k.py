# Same settings as for CycleMLP-B1 except the crop in testing.
_base_ = 'cyclemlp-b1_300e_in1k.py'

model = dict(backbone=dict(arch='b4'))
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=256)  # crop ratio 0.875
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
