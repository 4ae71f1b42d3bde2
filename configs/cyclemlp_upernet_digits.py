# UperNet with a slim CycleMLP on the embedded handwritten digits.
_base_ = 'digits/upernet_cyclemlp-slim_digits.py'
