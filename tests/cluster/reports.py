"""What there is to see of a test that failed, in build/cluster-logs: objects, events, and what the driver said."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from tests.cluster.driver import NAMESPACE
from tests.cluster.space import Space
from tests.demo.site import CHECKOUT

REPORTS = CHECKOUT / "build/cluster-logs"


def report_path(name: str) -> Path:
    """The file of that name, in a folder that is there."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    return REPORTS / f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', name)}.txt"


def written_down(test: str, space: Space, said: Sequence[str]) -> Path:
    """Write down what there is to see; where."""
    looks = (
        ("-n", space.name, "get", "pods,pvc,statefulsets", "-o", "wide"),
        ("-n", space.name, "get", "events", "--sort-by=.metadata.creationTimestamp"),
        ("get", "pv,volumeattachments,nodes"),
        ("-n", NAMESPACE, "get", "pods,leases", "-o", "wide"),
        ("-n", NAMESPACE, "get", "events", "--sort-by=.metadata.creationTimestamp"),
    )
    volumes = "\n".join(f"{each['id']} {each['name']} {each['status']}" for each in space.volumes())
    parts = [*(space.cluster.tells(*look) for look in looks), f"In Cinder:\n{volumes}\n", *said]
    path = report_path(test)
    path.write_text("\n".join(parts) + "\n")
    return path
