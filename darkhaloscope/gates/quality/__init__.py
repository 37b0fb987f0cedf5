"""Are the rows complete, finite, counted once, and alike in both classes."""
