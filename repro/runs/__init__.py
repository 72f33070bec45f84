"""A run's life: resolved, built, trained, stopped, resumed."""
