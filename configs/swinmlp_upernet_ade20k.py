# UperNet on ADE20K with the variant of Swin-MLP that is nearest to ResNet-50 in size.
_base_ = 'swinmlp/upernet_swinmlp-tiny-c6_160k_ade20k-512x512.py'
