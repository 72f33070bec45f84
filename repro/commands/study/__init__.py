"""`repro study`, an action a module."""
