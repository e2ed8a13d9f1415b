"""The flight recorder: what went into an engine, so that a report of a user can be played again."""
