"""The only entry points that run on other machines; only here dagster_pipes and pyspark are imported."""
