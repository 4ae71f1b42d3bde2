# ImageNet-1K with the variant of AS-MLP that is nearest to ResNet-50 in size.
_base_ = 'asmlp/asmlp-t_300e_in1k.py'
