"""Training the output alone, on features that are computed once."""
