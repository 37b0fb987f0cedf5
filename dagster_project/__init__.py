"""The Dagster application: definitions, the runner of a campaign, the command line."""
