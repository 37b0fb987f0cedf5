"""Training: data loading, models, the loop, checkpoints and scoring.

What a stamp is, how it is normalised and whether it may be used are decided
elsewhere (``stamps``, ``preprocess``, ``gates``); here a network is fitted to it.
"""
