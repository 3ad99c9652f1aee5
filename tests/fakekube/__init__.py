"""A small Kubernetes API server for tests and simulations, in this process, over real HTTP.

    with FakeKube() as kube:
        rest = Rest.at(kube.url)
        kube.create("/api/v1/namespaces/default/persistentvolumeclaims", {...})  # past HTTP, faults and counts
        kube.fail(verb="watch", close_every=3)

It holds raw objects and does what every API does with them (see `store.py`), not what one kind's validation or
controllers do: nobody binds a claim here but the test, and no admission adds the finalizers pvc-protection and
pv-protection. `resources.py` names the kinds that it knows. Its answers were compared with a kube-apiserver 1.36's.
"""

from tests.fakekube.faults import Fault
from tests.fakekube.server import FakeKube
from tests.fakekube.store import Refused

__all__ = ["FakeKube", "Fault", "Refused"]
