"""The manifests: valid for the API server, and as narrow as they claim to be.

The base is read here without kustomize: it lists its files, and they stand for themselves.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from openstack_csi import __version__, config

ROOT = Path(__file__).parents[2] / "manifests"
KUBERNETES = "1.36"


def documents(path: Path) -> Iterator[dict[str, Any]]:
    yield from (each for each in yaml.safe_load_all(path.read_text()) if each)


def kustomization(folder: Path) -> Iterator[dict[str, Any]]:
    """The objects of a kustomization, its overlays' patches not applied."""
    (listing,) = documents(folder / "kustomization.yaml")
    for name in (*listing["resources"], *listing.get("components", ())):
        path = (folder / name).resolve()
        yield from kustomization(path) if path.is_dir() else documents(path)


BASE = {(each["kind"], each["metadata"]["name"]): each for each in kustomization(ROOT / "base")}
OBJECTS = [
    *kustomization(ROOT / "overlays" / "testbed"),
    *(each for path in sorted((ROOT / "examples").glob("*.yaml")) for each in documents(path)),
]


def controller() -> Mapping[str, Any]:
    pod: Mapping[str, Any] = BASE["Deployment", "openstack-csi-controller"]["spec"]["template"]["spec"]
    return pod


def node() -> Mapping[str, Any]:
    pod: Mapping[str, Any] = BASE["DaemonSet", "openstack-csi-node"]["spec"]["template"]["spec"]
    return pod


@pytest.mark.parametrize("thing", OBJECTS, ids=lambda thing: f"{thing['kind']}-{thing['metadata']['name']}")
def test_the_api_server_knows_every_field(thing: dict[str, Any]) -> None:
    kubernetes_validate.validate(thing, KUBERNETES, strict=True)


def test_every_file_of_the_base_is_applied() -> None:
    (listing,) = documents(ROOT / "base" / "kustomization.yaml")
    files = {path.name for path in (ROOT / "base").glob("*.yaml")} - {"kustomization.yaml"}
    assert files == set(listing["resources"])


def test_the_image_is_this_version() -> None:
    (listing,) = documents(ROOT / "base" / "kustomization.yaml")
    assert [image["newTag"] for image in listing["images"]] == [__version__]


def test_the_driver_has_the_name_that_the_program_uses() -> None:
    assert ("CSIDriver", config.DRIVER_NAME) in BASE
    classes = [each for each in OBJECTS if each["kind"] == "StorageClass"]
    assert {each["provisioner"] for each in classes} == {config.DRIVER_NAME}


def test_nodes_hold_no_secret_and_no_token() -> None:
    assert node()["automountServiceAccountToken"] is False
    assert all("hostPath" in volume for volume in node()["volumes"])
    assert not any("valueFrom" in variable for c in node()["containers"] for variable in c.get("env", ()))
    bound = [
        subject["name"]
        for (kind, _), each in BASE.items()
        if kind in ("ClusterRoleBinding", "RoleBinding")
        for subject in each["subjects"]
    ]
    assert node()["serviceAccountName"] not in bound


def test_the_controller_is_confined() -> None:
    (container,) = controller()["containers"]
    assert controller()["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_an_updated_clouds_yaml_arrives_in_the_pod() -> None:
    (container,) = controller()["containers"]
    (mount,) = (each for each in container["volumeMounts"] if each["name"] == "clouds")
    assert "subPath" not in mount
    assert config.ControllerConfig().clouds_file.parent == Path(mount["mountPath"])


def test_the_programs_take_the_flags_that_the_manifests_give() -> None:
    (c,) = controller()["containers"]
    environ = {variable["name"]: "x" for variable in c["env"]}
    assert config.read(config.ControllerConfig, c["args"][1:], environ).leader_election_namespace == "x"
    (n,) = node()["containers"]
    told = config.read(config.NodeConfig, n["args"][1:], {})
    assert told.http_endpoint is not None
    assert told.http_endpoint.port == n["ports"][0]["containerPort"]
    (patch,) = documents(ROOT / "overlays" / "testbed" / "node.yaml")
    (n,) = patch["spec"]["template"]["spec"]["containers"]
    assert config.read(config.NodeConfig, n["args"][1:], {}).config_drive is not None


def test_mounts_of_the_node_reach_the_pods() -> None:
    (container,) = node()["containers"]
    (mount,) = (each for each in container["volumeMounts"] if each["name"] == "kubelet")
    assert mount["mountPropagation"] == "Bidirectional"
    assert Path(mount["mountPath"]) == config.NodeConfig().kubelet_dir


def test_the_controller_may_not_read_secrets_unless_asked_for() -> None:
    roles = [each for (kind, _), each in BASE.items() if kind in ("ClusterRole", "Role")]
    rules = [rule for role in roles for rule in role["rules"]]
    assert not any("secrets" in rule["resources"] for rule in rules)
    assert not any("*" in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]] for rule in rules)
