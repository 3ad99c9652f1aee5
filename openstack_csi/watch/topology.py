"""Where a claim's volume must be reachable: from nodes, classes and claims to a CSI TopologyRequirement.

A driver's node part registers topology keys in its CSINode; the kubelet copies their values into the Node's labels.
`Zones` is what the cluster's nodes offer, seen at one moment; `requirement` is pure.

- A node was selected (WaitForFirstConsumer): its segment comes first, the others follow, so that a backend which
  cannot serve that zone may say so or take the next.
- No node (Immediate): all segments, turned by a hash of the claim's name, so that the claims of a StatefulSet spread
  over the zones, and the claims of one replica stay together (the hash leaves the claim template's name out).
- `allowedTopologies` of the class replaces "all segments".

Source: CSI 1.12, CreateVolumeRequest.accessibility_requirements; order as the stock external-provisioner has it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from openstack_csi.model import Segment, TopologyRequirement
from openstack_csi.watch.objects import CSINode, Node, StorageClass, TopologyTerm

_REPLICA = re.compile(r"(?:.*-)?(?P<set>[^-]*)-(?P<index>\d{1,9})", re.ASCII)


class NoTopology(Exception):
    """The nodes do not (yet) say where the volume must be; the text says what is missing."""


@dataclass(frozen=True)
class Zones:
    """What the nodes offer: topology keys by node, as registered, and labels by node."""

    keys: Mapping[str, tuple[str, ...]]
    labels: Mapping[str, Mapping[str, str]]

    @classmethod
    def of(cls, csi_nodes: Iterable[CSINode], nodes: Iterable[Node]) -> Zones:
        """The zones of these nodes; nodes on which the driver is not registered offer nothing."""
        return cls(
            {each.name: each.topology_keys for each in csi_nodes if each.node_id}, {n.name: n.labels for n in nodes}
        )

    def keys_of_any(self) -> tuple[str, ...]:
        """The keys that the driver registers."""
        return next((self.keys[name] for name in sorted(self.keys) if self.keys[name]), ())

    def segment(self, node: str, keys: Sequence[str]) -> dict[str, str] | None:
        """The node's segment, None where a label is missing."""
        labels = self.labels.get(node, {})
        return {key: labels[key] for key in keys} if all(key in labels for key in keys) else None

    def segments(self, keys: Sequence[str]) -> list[dict[str, str]]:
        """The segments of all nodes that have the keys."""
        found = (self.segment(node, keys) for node in self.keys)
        return _distinct(each for each in found if each)


def requirement(zones: Zones, storage_class: StorageClass, claim_name: str, node: str) -> TopologyRequirement:
    """Where the volume must be reachable.

    Args:
        zones: what the cluster's nodes offer.
        storage_class: the claim's class, for its allowed topologies.
        claim_name: decides the order where no node was selected.
        node: the selected node, empty where there is none.

    Raises:
        NoTopology: no node has the driver yet, or the selected node does not say where it is, or is outside of the
            class's topologies.
    """
    allowed = _distinct(itertools.chain.from_iterable(_segments(term) for term in storage_class.allowed_topologies))
    if node:
        return _around(zones, allowed, node)
    if zones.labels and not zones.keys:
        raise NoTopology("the driver is not registered on any node yet")
    terms = allowed or zones.segments(zones.keys_of_any())
    if not terms:
        return TopologyRequirement()
    return TopologyRequirement(tuple(terms), _turned(terms, _offset(claim_name)))


def _around(zones: Zones, allowed: list[dict[str, str]], node: str) -> TopologyRequirement:
    if node not in zones.keys:
        raise NoTopology(f'the driver is not registered on node "{node}", which the scheduler selected')
    keys = zones.keys[node]
    if not keys:
        return TopologyRequirement(tuple(allowed), tuple(allowed))
    own = zones.segment(node, keys)
    if own is None:
        raise NoTopology(f'node "{node}" has no label {" or ".join(keys)}')
    terms = allowed or zones.segments(keys)
    first = next((i for i, term in enumerate(terms) if term.items() <= own.items()), None)
    if first is None:
        raise NoTopology(f'node "{node}" is outside of the allowedTopologies of the StorageClass')
    return TopologyRequirement(tuple(terms), _turned(terms, first))


def _segments(term: TopologyTerm) -> list[dict[str, str]]:
    """One allowed topology, its alternatives multiplied out."""
    keys = [key for key, _ in term]
    combinations = itertools.product(*(values for _, values in term))
    return [dict(zip(keys, values, strict=True)) for values in combinations] if keys else []


def _distinct(segments: Iterable[Mapping[str, str]]) -> list[dict[str, str]]:
    """Each segment once, in an order that does not depend on the nodes'."""
    return [dict(items) for items in sorted({tuple(sorted(each.items())) for each in segments})]


def _turned(terms: Sequence[Segment], offset: int) -> tuple[Segment, ...]:
    start = offset % len(terms)
    return (*terms[start:], *terms[:start])


def _offset(claim_name: str) -> int:
    """`data-web-3` counts on from the hash of `web` by 3; a name without a number is its own hash."""
    match = _REPLICA.fullmatch(claim_name)
    return _fnv32(match["set"]) + int(match["index"]) if match else _fnv32(claim_name)


def _fnv32(text: str) -> int:
    """FNV-1, 32 bits: the hash of the stock provisioner, so that a replica keeps its zone after a switch."""
    value = 0x811C9DC5
    for byte in text.encode():
        value = (value * 0x01000193) % 2**32 ^ byte
    return value
