"""What is sampled: U(θ) of the network posterior and of the mean fields, with its gradient."""
