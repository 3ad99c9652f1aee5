"""Every knob of the watchers, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class OrphanPolicy(Enum):
    """What becomes of a cloud object of ours that no claim and no PV refers to."""

    REPORT = "report"
    UNUSED = "unused"  # delete what was never attached, and so holds nobody's data
    DELETE = "delete"


@dataclass(frozen=True)
class WatchConfig:
    """What the watchers are told; times are seconds.

    Attributes:
        driver: the CSI driver's name.
        cluster: the stamp's cluster id.
        provisioner: run the provisioner, the reclaimer and the orphan finder.
        attacher: run the attacher.
        provision_workers: threads that reconcile claims, and as many for the reclaiming of PVs.
        attach_workers: threads of each of the attacher's two lanes.
        volume_name_prefix: `pvc` makes `pvc-<claim UID>` the name of the PV and of the cloud object.
        default_fs_type: the file system where the class names none.
        extra_metadata: put claim and PV names into the stamp.
        retry_start: first pause after a passing error, doubled up to `retry_maximum`.
        retry_slowly: first pause after an error that lasts until somebody changes something, doubled likewise.
        retry_maximum: the longest pause; also the pause after an error that no repetition can cure.
        tell_after: how long a wait lasts before an event says what is waited for.
        tell_again: and how often it says so from then on.
        orphan_interval: pause between two searches for orphans.
        orphan_grace: how long an orphan is only reported before the policy may delete it.
        orphan_policy: report, or delete after the grace time: what was never used, or all.
    """

    driver: str = "cinder.csi.openstack.org"
    cluster: str = ""
    provisioner: bool = True
    attacher: bool = True
    provision_workers: int = 32
    attach_workers: int = 32
    volume_name_prefix: str = "pvc"
    default_fs_type: str = "ext4"
    extra_metadata: bool = True
    retry_start: float = 1.0
    retry_slowly: float = 10.0
    retry_maximum: float = 300.0
    tell_after: float = 10.0
    tell_again: float = 60.0
    orphan_interval: float = 600.0
    orphan_grace: float = 600.0
    orphan_policy: OrphanPolicy = OrphanPolicy.UNUSED

    def volume_name(self, claim_uid: str) -> str:
        """The name of the claim's PV and of its cloud object: the key of idempotency."""
        return f"{self.volume_name_prefix}-{claim_uid}"

    def claim_uid(self, volume_name: str) -> str:
        """The UID in a name of ours, empty for a name that is not of that form."""
        uid = volume_name.removeprefix(f"{self.volume_name_prefix}-")
        return uid if uid != volume_name else ""
