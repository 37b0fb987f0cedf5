"""Do real objects point at their galaxies, and how far does a claim about them reach."""
