"""Pictures and pages, made from records.

What belongs here: figures, the summary of a run, the report page. What does
not: measuring. A number on a page is read from a record, never computed for the
page and never typed.
"""
