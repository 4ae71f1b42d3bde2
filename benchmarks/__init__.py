"""Speed and memory of the backbones, measured side by side with what they are compared to: ``python -m benchmarks``."""
