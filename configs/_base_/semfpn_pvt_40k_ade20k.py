# With PVT's test, which resizes to sides of multiples of 32.
_base_ = 'semfpn_40k_ade20k.py'

multiple = dict(type='ResizeToMultiple', size_divisor=32)
test_pipeline = _base_.test_pipeline
test_pipeline.insert(2, multiple)
tta_pipeline = _base_.tta_pipeline
tta_pipeline[1]['transforms'].insert(1, [multiple])
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
