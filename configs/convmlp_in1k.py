# ImageNet-1K with the variant of ConvMLP that is nearest to ResNet-50 in size.
_base_ = 'convmlp/convmlp-m_300e_in1k.py'
