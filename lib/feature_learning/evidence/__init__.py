"""Evidence of a code: populations and thermodynamic integration along a way of noises."""
