"""What this implementation calls itself."""

IMPLEMENTATION = "myownmesh-python"
"""What ``myownmesh version`` says to tell this implementation from the reference."""
