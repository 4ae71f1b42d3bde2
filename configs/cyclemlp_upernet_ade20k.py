# UperNet on ADE20K with the variant of CycleMLP that is nearest to ResNet-50 in size.
_base_ = 'cyclemlp/upernet_cyclemlp-b2_160k_ade20k-512x512.py'
