# Mask R-CNN with a slim ConvMLP on the embedded handwritten digits.
_base_ = 'digits/mask-rcnn_convmlp-slim_digits.py'
