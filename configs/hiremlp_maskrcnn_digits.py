# Mask R-CNN with a slim Hire-MLP on the embedded handwritten digits.
_base_ = 'digits/mask-rcnn_hiremlp-slim_digits.py'
