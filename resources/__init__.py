"""Pluggable machinery: the campaign's roots, compute engines, trainers."""
