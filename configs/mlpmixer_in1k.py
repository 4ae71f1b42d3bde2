# ImageNet-1K with the variant of MLP-Mixer that is nearest to ResNet-50 in multiply-adds.
_base_ = 'mlpmixer/mlpmixer-s16_300e_in1k.py'
