# ImageNet-1K with the variant of Wave-MLP that is nearest to ResNet-50 in size.
_base_ = 'wavemlp/wavemlp-s_300e_in1k.py'
