# Semantic FPN on ADE20K with the variant of CycleMLP that is nearest to ResNet-50 in size.
_base_ = 'cyclemlp/semfpn_cyclemlp-b2_40k_ade20k-512x512.py'
