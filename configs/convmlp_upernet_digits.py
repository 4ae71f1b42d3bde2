# UperNet with a slim ConvMLP on the embedded handwritten digits.
_base_ = 'digits/upernet_convmlp-slim_digits.py'
