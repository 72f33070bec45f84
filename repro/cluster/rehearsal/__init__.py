"""A rehearsal: small runs on the real cluster that meet what long ones will, and a verdict on each."""
