"""From hosts and sources to stamps: manifest, injection, shards.

Everything random is drawn in the manifest; injection renders what the manifest
says, one work unit at a time; shards are what training reads. Lensing physics
and survey files do not belong here.
"""
