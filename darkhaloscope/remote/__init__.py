"""Entry points that run on other machines or in other processes.

Here, and nowhere else in the library, Spark and Dagster Pipes may be imported.
Physics and statistics do not belong here: these modules only carry work units
and requests to the functions that do.
"""
