# ImageNet-1K with the variant of Vision Permutator that is nearest to ResNet-50 in size.
_base_ = 'visionpermutator/visionpermutator-s7_300e_in1k.py'
