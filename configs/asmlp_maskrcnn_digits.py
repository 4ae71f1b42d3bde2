# Mask R-CNN with a slim AS-MLP on the embedded handwritten digits.
_base_ = 'digits/mask-rcnn_asmlp-slim_digits.py'
