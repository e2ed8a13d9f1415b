"""The release number, alone in a module so that printing it costs nothing."""

VERSION = "0.3.8"
"""The reference release that this build is compatible with; embedders compare it with their pin (spec 07 §14)."""

IMPLEMENTATION = "myownmesh-python"
"""What ``myownmesh version`` says to tell this implementation from the reference."""
