"""Hooks of the training: progress, interruption, results, contact sheets, auxiliary losses."""
