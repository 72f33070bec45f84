"""What is known of the places where a network multiplies: which of it they are, and where the samples are."""
