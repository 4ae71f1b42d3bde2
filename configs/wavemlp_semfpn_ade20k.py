# Semantic FPN on ADE20K with the variant of Wave-MLP that is nearest to ResNet-50 in size.
_base_ = 'wavemlp/semfpn_wavemlp-s_40k_ade20k-512x512.py'
