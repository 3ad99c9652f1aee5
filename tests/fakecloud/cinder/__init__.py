"""Cinder: block storage, API versions 3.0 to 3.71."""

from .api import Cinder

__all__ = ["Cinder"]
