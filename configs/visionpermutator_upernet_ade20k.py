# UperNet on ADE20K with the variant of Vision Permutator that is nearest to ResNet-50 in size.
_base_ = 'visionpermutator/upernet_visionpermutator-s7_160k_ade20k-512x512.py'
