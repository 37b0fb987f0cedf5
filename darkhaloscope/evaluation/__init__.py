"""Grading a model: anchors, scores, recall and contamination, selection, comparison.

What belongs here: catalogues of known objects, their pointing and stamps,
scoring, and every number a model is judged by, each with its interval. Pictures
and pages are in ``reports``, verdicts in ``gates``.
"""
