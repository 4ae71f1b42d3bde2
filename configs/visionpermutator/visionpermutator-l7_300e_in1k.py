# Same settings as for ViP-Small/7 except the drop path and, in testing, the crop ratio.
_base_ = 'visionpermutator-s7_300e_in1k.py'

model = dict(backbone=dict(arch='l7', drop_path_rate=0.3), head=dict(in_channels=512))
test_pipeline = _base_.test_pipeline
test_pipeline[1].update(scale=256)  # crop ratio 0.875
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
