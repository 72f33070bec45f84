"""Commands that look at a cluster, try it, and hand it jobs."""
