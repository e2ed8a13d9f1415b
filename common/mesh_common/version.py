"""The release number, alone in a module so that printing it costs nothing.

Everything else that says it reads it here, the distribution's metadata included.
"""

VERSION = "0.3.8"
"""The reference release whose wire and control socket this one speaks;
embedders compare it with their pin (spec 07 §14)."""
