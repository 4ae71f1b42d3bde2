# UperNet on ADE20K with the variant of Wave-MLP that is nearest to ResNet-50 in size.
_base_ = 'wavemlp/upernet_wavemlp-s_160k_ade20k-512x512.py'
