"""The command feature-learning."""
