"""What both halves of the bed raise."""

from .openstack.errors import BedError

__all__ = ["BedError"]
