"""Can the class be told without seeing a lens."""
