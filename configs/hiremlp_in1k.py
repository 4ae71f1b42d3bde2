# ImageNet-1K with the variant of Hire-MLP that is nearest to ResNet-50 in size.
_base_ = 'hiremlp/hiremlp-s_300e_in1k.py'
