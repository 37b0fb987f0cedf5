"""Asset jobs and schedules. No asset logic."""
