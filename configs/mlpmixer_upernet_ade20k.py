# UperNet on ADE20K with the variant of MLP-Mixer that is nearest to ResNet-50 in multiply-adds.
_base_ = 'mlpmixer/upernet_mlpmixer-s16_160k_ade20k-512x512.py'
