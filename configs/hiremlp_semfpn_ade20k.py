# Semantic FPN on ADE20K with the variant of Hire-MLP that is nearest to ResNet-50 in size.
_base_ = 'hiremlp/semfpn_hiremlp-s_40k_ade20k-512x512.py'
