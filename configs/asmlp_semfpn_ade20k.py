# Semantic FPN on ADE20K with the variant of AS-MLP that is nearest to ResNet-50 in size.
_base_ = 'asmlp/semfpn_asmlp-t_40k_ade20k-512x512.py'
