"""The data sets themselves."""
