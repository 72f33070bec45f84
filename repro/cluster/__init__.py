"""SLURM: the text of batch scripts, submission, and what is checked before it."""
