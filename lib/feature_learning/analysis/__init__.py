"""From tables to numbers: curves, onsets, agreement, diagnoses."""
