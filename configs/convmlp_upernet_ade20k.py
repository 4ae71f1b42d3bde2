# UperNet on ADE20K with the variant of ConvMLP that is nearest to ResNet-50 in size.
_base_ = 'convmlp/upernet_convmlp-m_160k_ade20k-512x512.py'
