"""Batches: their order, pixels and decoding."""
