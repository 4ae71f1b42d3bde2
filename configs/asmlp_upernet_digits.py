# UperNet with a slim AS-MLP on the embedded handwritten digits.
_base_ = 'digits/upernet_asmlp-slim_digits.py'
