# UperNet with a slim Hire-MLP on the embedded handwritten digits.
_base_ = 'digits/upernet_hiremlp-slim_digits.py'
