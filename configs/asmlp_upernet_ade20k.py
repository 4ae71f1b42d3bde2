# UperNet on ADE20K with the variant of AS-MLP that is nearest to ResNet-50 in size.
_base_ = 'asmlp/upernet_asmlp-t_160k_ade20k-512x512.py'
