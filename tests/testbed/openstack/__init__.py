"""A small, real OpenStack for tests: Keystone, Cinder, Nova with Placement, and Manila, one process each.

`bed` is what other programs use; `python3 -m tests.testbed.openstack` is the same from a shell.
"""
