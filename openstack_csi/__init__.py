"""A CSI driver for OpenStack Cinder volumes and Manila shares."""

__version__ = "0.1.0"
