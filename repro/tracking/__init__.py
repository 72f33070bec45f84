"""Where numbers go while a run trains: its record, and Weights & Biases."""
