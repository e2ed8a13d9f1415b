"""The bundler's own version, without the cost of reading installed metadata."""

__version__ = "0.3.8"
