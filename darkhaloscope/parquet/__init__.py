"""Parquet pages of pixels, laid out and found by hand; all other columns and every other reader are Arrow's.

Arrow makes two counters per pixel of a list and copies all bytes twice, which
costs more than compressing them. The files are plain Parquet.
"""
