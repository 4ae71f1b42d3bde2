"""Measures of networks: parameters and MACs, and the similarity of their features."""
