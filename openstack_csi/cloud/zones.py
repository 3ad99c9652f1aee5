"""Zones as Kubernetes and Cinder say them: pure translations."""

from __future__ import annotations

from openstack_csi.model import Segment, TopologyRequirement, zone_label


def segment(key: str, zone: str) -> tuple[Segment, ...]:
    """The topology of a volume in that zone; none for a volume without one."""
    return ({key: zone_label(zone)},) if zone else ()


def wanted(requirement: TopologyRequirement, key: str) -> str:
    """The zone that the requirement asks for first: preferred before requisite; empty when it names none."""
    for choice in (*requirement.preferred, *requirement.requisite):
        if choice.get(key):
            return choice[key]
    return ""


def allowed(requirement: TopologyRequirement, key: str) -> frozenset[str]:
    """The zones from which the requirement lets us choose; none named means every zone."""
    choices = requirement.requisite or requirement.preferred
    return frozenset(choice[key] for choice in choices if choice.get(key))
