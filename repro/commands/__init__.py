"""Commands that are longer than a function of `repro.cli`; each is imported when it is called."""
