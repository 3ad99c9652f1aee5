"""Whether the cloud is well, told without being asked.

A controller that has nothing to do makes no calls, so nothing would find a mended clouds.yaml, or that the cloud is
back. A thread looks: while the cloud is well only at the file (the session sees to that), and while it is not at the
cloud itself, with one cheap call at growing intervals. A session alone proves little: the call also finds a wrong
region, or a user without a role.
"""

from __future__ import annotations

import logging
import threading

from openstack_csi.backoff import Backoff
from openstack_csi.cloud.connection import LOOK_EVERY, Cloud
from openstack_csi.cloud.faults import Refused
from openstack_csi.errors import DriverError
from openstack_csi.ops.health import Progress
from openstack_csi.roles.process import RETRY_SECONDS, Stop

log = logging.getLogger(__name__)


class CloudKeeper:
    """The readiness check `cloud`.

    Args:
        cloud: what is looked at.
        stop: ends the thread.
    """

    def __init__(self, cloud: Cloud, stop: Stop) -> None:
        self._cloud = cloud
        self._stop = stop
        self._progress = Progress("not reached yet")
        self._answers = cloud.answers
        self._backoff = Backoff(*RETRY_SECONDS)
        self._thread = threading.Thread(target=self._run, name="cloud-keeper", daemon=True)

    def start(self) -> None:
        """Look from now on."""
        self._thread.start()

    def __call__(self) -> str:
        """See `ops.health.Check`."""
        if fault := self._cloud.fault:
            return str(fault)
        if self._cloud.answers > self._answers:
            return ""  # somebody's call went well since the last look: no need to wait for the next
        return self._progress()

    def look(self) -> float:
        """Look once, and tell what changed; seconds until the next look."""
        unwell = bool(self())
        try:
            self._cloud.be_reachable()
            if unwell:
                self._ask()
        except DriverError as fault:
            self._answers = self._cloud.answers
            if self._progress.wait_for(str(fault)):
                log.error("the cloud cannot be used: %s", fault, extra={"cloud": self._cloud.name})
            return max(self._cloud.pause(), self._backoff.next(fault.retry_after))
        if unwell:
            log.info("the cloud is well", extra={"cloud": self._cloud.name})
        self._progress.done()
        self._backoff.reset()
        return LOOK_EVERY

    def _ask(self) -> None:
        try:
            self._cloud.request("block_storage", "GET", "/limits", kind="limits_get", what="Cinder does not serve us")
        except Refused as refused:
            raise refused.error from None

    def _run(self) -> None:
        while not self._stop.asked(within=self.look()):
            pass
