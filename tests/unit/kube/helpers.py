from __future__ import annotations

from typing import Any

CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
ALL_CLAIMS = "/api/v1/persistentvolumeclaims"


class FakeClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def claim(name: str, **metadata: Any) -> dict[str, Any]:
    return {
        "kind": "PersistentVolumeClaim",
        "apiVersion": "v1",
        "metadata": {"name": name, **metadata},
        "spec": {"storageClassName": "standard", "resources": {"requests": {"storage": "1Gi"}}},
    }
