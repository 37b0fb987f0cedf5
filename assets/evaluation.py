"""Grading: real objects, the selection function, all experiments side by side."""
