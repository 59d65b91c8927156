"""Measurements of speed. Nothing here is imported by the library."""
