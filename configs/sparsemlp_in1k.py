# ImageNet-1K with the variant of Sparse-MLP that is nearest to ResNet-50 in size.
_base_ = 'sparsemlp/sparsemlp-s_300e_in1k.py'
