"""What the wire drags in: the node's memory depends on it."""

from __future__ import annotations

import subprocess
import sys

HEAVY = {"openstack", "keystoneauth1", "kubernetes", "requests", "urllib3"}


def test_the_wire_loads_no_library_of_the_cloud_or_of_kubernetes():
    modules = ["server", "interceptor", "translate", "identity", "registration", "controller"]
    imports = ", ".join(f"openstack_csi.csi.{module}" for module in modules)
    program = f"import sys, {imports}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "openstack_csi" in loaded
    assert not HEAVY & set(loaded)
