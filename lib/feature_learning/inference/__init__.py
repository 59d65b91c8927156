"""Chains: where they start, the run loop, what it measures, when it ends."""
