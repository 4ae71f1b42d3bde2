# ImageNet-1K with the variant of CycleMLP that is nearest to ResNet-50 in size.
_base_ = 'cyclemlp/cyclemlp-b2_300e_in1k.py'
