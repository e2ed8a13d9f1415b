"""The control socket: how local programs see and steer this device (spec 05)."""
