"""The daemon as a service of the system: systemd on Linux, launchd on macOS (spec 07 §7)."""
