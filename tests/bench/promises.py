"""What each figure is held against: the aim of this project, and the Go stack on the same work.

The Go stack: cinder-csi-plugin (July 2026) with external-provisioner 6.3 and external-attacher 4.12, the flags of their
manifests, on a real API server 1.36.3 and a simulated cloud with the timings used here, two shared cores.
Seconds are told, never failed on: they depend on the machine. Calls are the same on every machine, and are asserted.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Promise:
    """The most that a figure should be, where something was promised; and what the Go stack needs."""

    aim: float | None = None
    go: str = ""


_KNOWN = {
    "claim to Bound, 1": Promise(go="0.15, usable at 2.1"),
    "claim to Bound, 20": Promise(go="3.5"),
    "claim to Bound, 200": Promise(go="39"),
    "claim to attached, 1": Promise(5.6, "9.8"),
    "claim to attached, 20": Promise(go="14.7"),
    "claim to attached, 200": Promise(12, "122"),
    "attach, 1": Promise(3.2, "4.15"),
    "attach, 20": Promise(go="12.4"),
    "attach, 200": Promise(go="120"),
    "detach, 1": Promise(3.2, "4.03"),
    "detach, 20": Promise(go="10.0"),
    "detach, 200": Promise(go="83"),
    "delete, 1": Promise(go="1.14"),
    "delete, 20": Promise(go="6.8"),
    "delete, 200": Promise(go="81"),
    "calls while idle": Promise(0, "1 a minute"),
    "memory of the node": Promise(60),
    "memory of the controller": Promise(110, "151–250, three processes"),
}

_BY_KIND = {
    "CPU of a life": Promise(0.05, "0.036–0.056"),
    "cloud calls of a life": Promise(go="20–23"),
    "API requests of a life": Promise(10, "12.0–12.8"),
}


def promise(name: str) -> Promise:
    """What was promised of the figure of that name."""
    if name in _KNOWN:
        return _KNOWN[name]
    found = [each for start, each in (_KNOWN | _BY_KIND).items() if name.startswith(start)]
    return found[0] if found else Promise()
