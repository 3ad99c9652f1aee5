"""A StorageClass's parameters: which are Kubernetes' own, which go to the backend, and which secrets they name.

Keys below `csi.storage.k8s.io/` are the CO's and never reach the backend; the rest is the backend's, as written, and
`service.check` refuses what it does not know. A secret's name and namespace are templates, filled in per claim:
`${pv.name}`, `${pvc.namespace}`, and in the name also `${pvc.name}` and `${pvc.annotations['key']}`.
Keys and templates are those of the stock external-provisioner.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from openstack_csi.errors import InvalidArgument, unknown_key
from openstack_csi.watch.objects import Claim, StorageClass

PREFIX = "csi.storage.k8s.io/"
FS_TYPE = f"{PREFIX}fstype"

PROVISION = "provisioner-secret"
CONTROLLER_PUBLISH = "controller-publish-secret"
NODE_STAGE = "node-stage-secret"
NODE_PUBLISH = "node-publish-secret"
CONTROLLER_EXPAND = "controller-expand-secret"
NODE_EXPAND = "node-expand-secret"
CONTROLLER_MODIFY = "controller-modify-secret"
_DEFAULT = "secret"
USES = (PROVISION, CONTROLLER_PUBLISH, NODE_STAGE, NODE_PUBLISH, CONTROLLER_EXPAND, NODE_EXPAND, CONTROLLER_MODIFY)

_OLD_KEYS = {
    "fstype": FS_TYPE,
    "csiProvisionerSecretName": f"{PREFIX}{PROVISION}-name",
    "csiProvisionerSecretNamespace": f"{PREFIX}{PROVISION}-namespace",
    "csiControllerPublishSecretName": f"{PREFIX}{CONTROLLER_PUBLISH}-name",
    "csiControllerPublishSecretNamespace": f"{PREFIX}{CONTROLLER_PUBLISH}-namespace",
    "csiNodeStageSecretName": f"{PREFIX}{NODE_STAGE}-name",
    "csiNodeStageSecretNamespace": f"{PREFIX}{NODE_STAGE}-namespace",
    "csiNodePublishSecretName": f"{PREFIX}{NODE_PUBLISH}-name",
    "csiNodePublishSecretNamespace": f"{PREFIX}{NODE_PUBLISH}-namespace",
}
_KNOWN = {FS_TYPE} | {f"{PREFIX}{use}-{part}" for use in (_DEFAULT, *USES) for part in ("name", "namespace")}

_TEMPLATE = re.compile(r"\$\{([^}]*)\}")
_ANNOTATION = re.compile(r"pvc\.annotations\['([^']*)'\]")
_SECRET_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class SecretRef:
    """A Secret."""

    namespace: str
    name: str


@dataclass(frozen=True)
class ClassParameters:
    """A class's parameters, taken apart for one claim.

    Attributes:
        backend: the keys that are the backend's, as written.
        fs_type: empty where the class names none.
        secrets: by use (`USES`), filled in.
    """

    backend: Mapping[str, str] = field(default_factory=dict)
    fs_type: str = ""
    secrets: Mapping[str, SecretRef] = field(default_factory=dict)


def read_parameters(storage_class: StorageClass, claim: Claim, volume_name: str) -> ClassParameters:
    """The class's parameters for a claim whose PV will have that name.

    Raises:
        InvalidArgument: an unknown key of Kubernetes, a key given twice, half of a secret's pair, a wrong template.
    """
    ours, backend = _take_apart(storage_class.parameters)
    return ClassParameters(backend, ours.get(FS_TYPE, ""), _secrets(ours, claim, volume_name))


def _take_apart(parameters: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Kubernetes' own keys by their present names, and the backend's."""
    ours: dict[str, str] = {}
    backend: dict[str, str] = {}
    for key, value in parameters.items():
        known = _OLD_KEYS.get(key, key)
        if known.lower().startswith(PREFIX):
            if known not in _KNOWN:
                raise unknown_key("StorageClass parameter", key, _KNOWN)
            if known in ours:
                raise InvalidArgument(f'StorageClass parameter "{known}" is given twice', hint=f'Remove "{key}".')
            ours[known] = value
        else:
            backend[key] = value
    return ours, backend


def _secrets(ours: Mapping[str, str], claim: Claim, volume_name: str) -> dict[str, SecretRef]:
    found = {}
    for use in USES:
        pair = _pair(ours, use) or _pair(ours, _DEFAULT)
        if pair:
            found[use] = _filled(pair, use, claim, volume_name)
    return found


def _pair(ours: Mapping[str, str], use: str) -> tuple[str, str] | None:
    """The templates of namespace and name, None where the class has neither."""
    name, namespace = f"{PREFIX}{use}-name", f"{PREFIX}{use}-namespace"
    if name not in ours and namespace not in ours:
        return None
    for key in (name, namespace):
        if not ours.get(key):
            raise InvalidArgument(
                f'StorageClass parameter "{key}" is missing', hint="A Secret needs its name and its namespace."
            )
    return ours[namespace], ours[name]


def _filled(pair: tuple[str, str], use: str, claim: Claim, volume_name: str) -> SecretRef:
    values = {"pv.name": volume_name, "pvc.namespace": claim.namespace}
    key = f"{PREFIX}{use}"
    namespace = _fill(pair[0], f"{key}-namespace", values, None)
    name = _fill(pair[1], f"{key}-name", values | {"pvc.name": claim.name}, claim.annotations)
    if not _NAMESPACE.fullmatch(namespace):
        raise InvalidArgument(f'StorageClass parameter "{key}-namespace" gives "{namespace}", which names no namespace')
    if not _SECRET_NAME.fullmatch(name):
        raise InvalidArgument(f'StorageClass parameter "{key}-name" gives "{name}", which can name no Secret')
    return SecretRef(namespace, name)


def _fill(template: str, key: str, values: Mapping[str, str], annotations: Mapping[str, str] | None) -> str:
    known = [f"${{{name}}}" for name in values] + (["${pvc.annotations['key']}"] if annotations is not None else [])

    def value(match: re.Match[str]) -> str:
        if match[1] in values:
            return values[match[1]]
        annotation = _ANNOTATION.fullmatch(match[1])
        if annotation and annotations is not None:
            if annotation[1] not in annotations:
                raise InvalidArgument(
                    f'StorageClass parameter "{key}" asks for the annotation "{annotation[1]}" of the claim',
                    hint="Set it on the claim.",
                )
            return annotations[annotation[1]]
        raise InvalidArgument(
            f'StorageClass parameter "{key}" has the unknown template "{match[0]}"',
            hint=f"Known are: {', '.join(known)}.",
        )

    return _TEMPLATE.sub(value, template)
