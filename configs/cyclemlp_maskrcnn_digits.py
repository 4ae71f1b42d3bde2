# Mask R-CNN with a slim CycleMLP on the embedded handwritten digits.
_base_ = 'digits/mask-rcnn_cyclemlp-slim_digits.py'
