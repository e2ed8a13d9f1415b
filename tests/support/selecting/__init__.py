"""Which unit tests have to run again: those of which anything changed since they were last green (scripts/check)."""
