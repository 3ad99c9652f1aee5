"""Zones as Kubernetes and Cinder say them: pure translations.

A label's value allows letters, digits, `-`, `_` and `.`, and starts and ends with a letter or digit; a zone's name in
OpenStack allows more. The node and the controller make the same label of the same name.
"""

from __future__ import annotations

import re

from openstack_csi.model import Segment, TopologyRequirement

_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")


def label(zone: str) -> str:
    """The zone's name as the value of a label, at most 63 characters."""
    return _UNSAFE.sub("-", zone)[:63].strip("-_.")


def segment(key: str, zone: str) -> tuple[Segment, ...]:
    """The topology of a volume in that zone; none for a volume without one."""
    return ({key: label(zone)},) if zone else ()


def wanted(requirement: TopologyRequirement, key: str) -> str:
    """The zone that the requirement asks for first: preferred before requisite; empty when it names none."""
    for choice in (*requirement.preferred, *requirement.requisite):
        if choice.get(key):
            return choice[key]
    return ""
