"""Of a network: which parameters its layers cover, on which axis the samples are, and what it keeps."""
