# ImageNet-1K with the variant of Swin-MLP that is nearest to ResNet-50 in size.
_base_ = 'swinmlp/swinmlp-tiny-c6_300e_in1k.py'
