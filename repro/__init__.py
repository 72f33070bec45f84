"""Reproduce, extend and check two papers on why skip connections make very deep networks trainable."""

__version__ = "0.1.0"
