"""The test bed's decisions: what is generated from upstream's files, and what an image is made of."""

import io
import tarfile
from pathlib import Path

import pytest

from tests.testbed.builds import containerd_module, kubernetes_module, programs
from tests.testbed.driver_image import copied, fingerprint
from tests.testbed.errors import BedError
from tests.testbed.golang import is_package
from tests.testbed.images import image
from tests.testbed.layout import Layout
from tests.testbed.node_config import NodeSpec, kubelet_config
from tests.testbed.progress import Durations, Progress, parallel

KUBERNETES = """module k8s.io/kubernetes

go 1.26.0

godebug default=go1.26

require (
	github.com/a/b v1.2.3
	k8s.io/api v0.0.0
)

replace (
	k8s.io/api => ./staging/src/k8s.io/api
)
"""


def test_staging_modules_are_replaced_by_their_release() -> None:
    module = kubernetes_module(KUBERNETES)
    assert "require k8s.io/kubernetes v1.36.3" in module
    assert "\tgithub.com/a/b v1.2.3" in module
    assert "\tk8s.io/api => k8s.io/api v0.36.3" in module
    assert "v0.0.0" not in module


def test_containerd_keeps_its_replacements_and_exclusions() -> None:
    module = containerd_module("go 1.24.3\n\nrequire (\n\ta v1\n)\n\nexclude (\n\tb v2\n)\n")
    assert module.splitlines()[1:3] == ["go 1.24.3", "require github.com/containerd/containerd/v2 v2.2.9"]
    assert "exclude (\n\tb v2\n)" in module


@pytest.mark.parametrize(
    ("line", "counts"),
    [("k8s.io/api/core/v1\n", True), ("go: downloading a v1\n", False), ("# a/b\n", False), ("\n", False)],
)
def test_only_compiled_packages_are_counted(line: str, counts: bool) -> None:
    assert is_package(line) is counts


def test_assets_are_not_used_without_all_three_programs(tmp_path: Path) -> None:
    (tmp_path / "etcd").touch()
    layout = Layout(tmp_path / "cache", tmp_path / "state")
    assert programs(layout, {"KUBEBUILDER_ASSETS": str(tmp_path)}).front == layout.kubernetes


def test_an_image_is_made_of_what_the_dockerfile_copies(tmp_path: Path) -> None:
    dockerfile = "FROM x\nCOPY --chmod=644 a.txt \\\n  src /there/\nCOPY --from=x /y /z\n"
    assert copied(dockerfile) == ["a.txt", "src"]
    (tmp_path / "Dockerfile").write_text(dockerfile)
    (tmp_path / "src" / "__pycache__").mkdir(parents=True)
    (tmp_path / "src" / "code.py").write_text("1")
    first = fingerprint(tmp_path)
    (tmp_path / "src" / "__pycache__" / "code.pyc").write_text("compiled")
    (tmp_path / "other.md").write_text("text")
    assert fingerprint(tmp_path) == first
    (tmp_path / "src" / "code.py").write_text("2")
    assert fingerprint(tmp_path) != first


def test_a_small_image_holds_its_files_and_links() -> None:
    with tarfile.open(fileobj=io.BytesIO(image("x:1", {"bin/a": b"text", "bin/b": "a"}, ["/bin/a"]))) as archive:
        layer = next(name for name in archive.getnames() if name.endswith("/layer.tar"))
        content = archive.extractfile(layer)
        assert content is not None
        with tarfile.open(fileobj=content) as files:
            assert files.getnames() == ["bin", "bin/a", "bin/b"]
            assert files.getmember("bin/b").linkname == "a"


def test_a_node_says_which_server_it_is(tmp_path: Path) -> None:
    layout = Layout(tmp_path, tmp_path)
    assert kubelet_config(layout, NodeSpec(1, "az1", "abc", tmp_path))["providerID"] == "openstack:///abc"
    assert kubelet_config(layout, NodeSpec(1, "az1", "", tmp_path))["providerID"] == ""


def test_all_failures_of_work_side_by_side_are_told_and_the_rest_is_done() -> None:
    done = []

    def fail() -> None:
        raise BedError("no disk")

    with pytest.raises(BedError, match="one: no disk; three: no disk"):
        parallel({"one": fail, "two": lambda: done.append(2), "three": fail})
    assert done == [2]


def test_a_step_says_how_long_it_took_last_time(tmp_path: Path) -> None:
    now, out = [0.0], io.StringIO()
    Durations(tmp_path / "d.json").remember("build", 257)
    progress = Progress(tmp_path / "d.json", out, lambda: now[0])
    with progress.step("build"):
        now[0] = 100.0
    assert "build … (took 257 s last time)" in out.getvalue()
    assert "build: done in 100.0 s" in out.getvalue()
    assert Durations(tmp_path / "d.json").last("build") == 100.0
