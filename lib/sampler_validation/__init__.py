"""Samplers on known answers: exact posteriors, moment tests, calibration."""
