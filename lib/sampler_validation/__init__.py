"""Validation of the samplers: posteriors with known moments, and simulation-based calibration."""
