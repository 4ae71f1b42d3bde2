# UperNet on ADE20K with the variant of Sparse-MLP that is nearest to ResNet-50 in size.
_base_ = 'sparsemlp/upernet_sparsemlp-s_160k_ade20k-512x512.py'
