"""The Dagster application: definitions, partitions, gate enforcement, command line."""
