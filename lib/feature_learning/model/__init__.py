"""The task, the two-layer network with its prior, and its forward and backward pass."""
