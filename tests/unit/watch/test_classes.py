from __future__ import annotations

import pytest

from openstack_csi.errors import InvalidArgument
from openstack_csi.watch import classes
from openstack_csi.watch.classes import SecretRef, read_parameters
from openstack_csi.watch.objects import Claim, StorageClass

CLAIM = Claim("apps", "data", "uid-1", annotations={"tenant": "blue"})
P = "csi.storage.k8s.io/"


def read(**parameters: str) -> classes.ClassParameters:
    return read_parameters(StorageClass("sc", parameters=parameters), CLAIM, "pvc-uid-1")


def test_kubernetes_keys_are_taken_out_and_the_rest_is_the_backend_s() -> None:
    found = read(**{f"{P}fstype": "xfs", "type": "fast", "availability": "nova"})

    assert found.fs_type == "xfs"
    assert found.backend == {"type": "fast", "availability": "nova"}


def test_the_old_name_of_the_file_system_is_still_understood() -> None:
    assert read(fstype="xfs").fs_type == "xfs"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fixed", "fixed"),
        ("${pv.name}", "pvc-uid-1"),
        ("s-${pvc.namespace}-${pvc.name}", "s-apps-data"),
        ("${pvc.annotations['tenant']}-key", "blue-key"),
    ],
)
def test_secret_names_are_templates(name: str, expected: str) -> None:
    found = read(**{f"{P}node-stage-secret-name": name, f"{P}node-stage-secret-namespace": "${pvc.namespace}"})

    assert found.secrets == {classes.NODE_STAGE: SecretRef("apps", expected)}


def test_the_default_secret_is_for_every_use_that_has_none_of_its_own() -> None:
    found = read(
        **{
            f"{P}secret-name": "all",
            f"{P}secret-namespace": "kube-system",
            f"{P}provisioner-secret-name": "own",
            f"{P}provisioner-secret-namespace": "kube-system",
        }
    )

    assert set(found.secrets) == set(classes.USES)
    assert found.secrets[classes.PROVISION].name == "own"
    assert found.secrets[classes.NODE_PUBLISH].name == "all"


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({f"{P}fstpye": "ext4"}, f'unknown StorageClass parameter "{P}fstpye". Did you mean "{P}fstype"?'),
        ({f"{P}FSType": "ext4"}, f'Did you mean "{P}fstype"?'),
        ({f"{P}fstype": "xfs", "fstype": "ext4"}, f'"{P}fstype" is given twice. Remove "fstype".'),
        ({f"{P}provisioner-secret-name": "x"}, f'"{P}provisioner-secret-namespace" is missing'),
        ({f"{P}provisioner-secret-namespace": "x"}, f'"{P}provisioner-secret-name" is missing'),
        ({f"{P}secret-name": "${pvc.nam}", f"{P}secret-namespace": "x"}, 'unknown template "${pvc.nam}"'),
        ({f"{P}secret-name": "x", f"{P}secret-namespace": "${pvc.name}"}, 'unknown template "${pvc.name}"'),
        (
            {f"{P}secret-name": "${pvc.annotations['colour']}", f"{P}secret-namespace": "x"},
            'asks for the annotation "colour" of the claim. Set it on the claim.',
        ),
        ({f"{P}secret-name": "../other", f"{P}secret-namespace": "x"}, "can name no Secret"),
        ({f"{P}secret-name": "x", f"{P}secret-namespace": "a/b"}, "names no namespace"),
    ],
)
def test_wrong_parameters_are_refused_by_name(parameters: dict[str, str], text: str) -> None:
    with pytest.raises(InvalidArgument) as raised:
        read(**parameters)
    assert text in str(raised.value)
