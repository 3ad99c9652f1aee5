"""`python -m openstack_csi`, the same as `openstack-csi`."""

from openstack_csi.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
