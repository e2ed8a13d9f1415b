"""The saved networks: the record, the file that keeps it, and its translation for the daemon (spec 08 §6)."""
