"""Records as pages: the overview, a page for each artefact, and what stands on them."""
