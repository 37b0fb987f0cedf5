"""Thin assets, one module per group, in the order data flows, and what they share.

Asset modules: ``sky``, ``sources``, ``dataset``, ``gates``, ``training``,
``anchors``, ``evaluation``. Shared: ``partitions``, ``experiments``,
``enforcement``, ``metadata``, ``building``.
"""
