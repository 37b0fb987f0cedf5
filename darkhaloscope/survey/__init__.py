"""The sky as the survey gives it.

Release facts, paths, bricks, sweeps, parent cuts, tiles and splits, coadd
sections, and the host cutouts. ``mock`` writes a tree that the same readers
read. Nothing here injects, renders or trains.
"""
