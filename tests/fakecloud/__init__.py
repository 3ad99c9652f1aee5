"""A fake OpenStack in one process: Keystone, Cinder and Nova over HTTP, for speed, scale and faults.

See README.md. It is only as good as its proof: the contract suite runs the same cases on it and on the real services.
"""

from .calls import Call
from .clock import FakeClock
from .cloud import FakeCloud
from .config import Config, Quota, Timings, TypeConfig
from .faults import CallFault, StateFault

__all__ = [
    "Call",
    "CallFault",
    "Config",
    "FakeClock",
    "FakeCloud",
    "Quota",
    "StateFault",
    "Timings",
    "TypeConfig",
]
