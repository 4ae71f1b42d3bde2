"""Hooks of the training: progress, interruption, results, auxiliary losses."""
