"""A file for each measurement, or for a few alike: what it is and how it is taken. Importing them imports no torch."""
