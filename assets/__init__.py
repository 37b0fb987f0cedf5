"""Thin assets, one module per group, in the order data flows."""
