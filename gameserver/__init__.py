"""A game backend that a studio hosts itself."""

__version__ = "0.1.0"
