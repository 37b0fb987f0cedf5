"""The kinds of rows: values of ``control_kind``, and nothing else."""

POSITIVE, PAIRED, UNPAIRED = "positive", "paired", "unpaired"
MATCHED_LIGHT, HARD_NEGATIVE = "matched_light", "hard_negative"

KINDS = (POSITIVE, PAIRED, UNPAIRED, MATCHED_LIGHT, HARD_NEGATIVE)
"""A positive carries an arc; the others are controls, defined in the schema's contract."""
