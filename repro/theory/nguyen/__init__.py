"""Nguyen's statements."""
