"""Preparing data sets: files fetched, unpacked, checked and cached."""
