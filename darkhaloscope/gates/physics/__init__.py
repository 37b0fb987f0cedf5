"""Is the light that was added the light a lens adds, and are the sources galaxies."""
