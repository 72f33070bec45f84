"""Oyedotun's statements."""
