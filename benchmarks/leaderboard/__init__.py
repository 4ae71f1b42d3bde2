"""Results side by side: what was reported, what was trained here, and how fast it is."""
