"""The science library of Dark Halo Scope: plain functions on arrays and files.

It knows nothing of the orchestrator, the cluster or the cloud; those live in
``assets``, ``resources`` and ``jobs`` and call in here.
"""

__version__ = "0.1.0"
