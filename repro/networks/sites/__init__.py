"""Where a network multiplies: which parameters its layers cover, and on which axis the samples are."""
