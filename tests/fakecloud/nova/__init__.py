"""Nova: servers and their volumes, API versions 2.1 to 2.104."""

from .api import Nova

__all__ = ["Nova"]
