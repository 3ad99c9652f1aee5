"""Where the demo plays: on the test bed, or on the cluster and the cloud that KUBECONFIG and OS_CLOUD name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Protocol

import yaml

from tests.testbed.bed import Bed
from tests.testbed.layout import BUSYBOX_IMAGE

CHECKOUT = Path(__file__).resolve().parents[2]


class Site(Protocol):
    """What the story needs of the place."""

    image: str
    """Image of the demo's pods: a busybox."""

    cloud: str
    """The cloud's name for `tests.demo.cinder`."""

    def be_up(self) -> None:
        """Cluster and cloud answer, the driver's image can be had."""

    def be_down(self) -> None:
        """End what `be_up` started, and nothing else."""

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        """Run kubectl; what it printed. Raises RuntimeError with its last words."""

    def manifests(self) -> Path:
        """The kustomization to apply."""

    def clouds_yaml(self) -> str:
        """The text for the driver's Secret: one cloud, named `openstack`."""

    def volume(self, name: str) -> dict[str, Any] | None:
        """The Cinder volume of that name."""

    def hints(self) -> list[str]:
        """Commands to look around with."""


class BedSite:
    """The test bed, started by the demo and, unless kept, ended by it."""

    image = BUSYBOX_IMAGE
    cloud = "demo-appcred"

    def __init__(self) -> None:
        self._bed = Bed()

    def be_up(self) -> None:
        self._bed.prepare(image=True)
        self._bed.up(nodes=2)
        self._bed.build_image()

    def be_down(self) -> None:
        self._bed.down()

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        return self._bed.kubectl(*args, input=stdin)

    def manifests(self) -> Path:
        return CHECKOUT / "manifests/overlays/testbed"

    def clouds_yaml(self) -> str:
        return one_cloud(self._bed.clouds_yaml, self.cloud)

    def volume(self, name: str) -> dict[str, Any] | None:
        argv = [sys.executable, "-m", "tests.demo.cinder", self.cloud, name]
        return _json(self._bed.enter(argv), self._bed.environment)

    def hints(self) -> list[str]:
        return [
            "python3 -m tests.testbed kube get pods -A",
            "python3 -m tests.testbed kube -n openstack-csi logs deploy/openstack-csi-controller --all-pods",
            "python3 -m tests.testbed status",
            "make demo-down",
        ]


class OwnSite:
    """Somebody's own cluster and cloud: nothing is started, and nothing but the demo's own objects is removed."""

    image = os.environ.get("DEMO_IMAGE", "busybox:1.37")

    def __init__(self, cloud: str) -> None:
        self.cloud = cloud
        default = Path.home() / ".config/openstack/clouds.yaml"
        self._clouds_file = Path(os.environ.get("OS_CLIENT_CONFIG_FILE", default))

    def be_up(self) -> None:
        self.kubectl("version")

    def be_down(self) -> None:
        pass

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        return _run(["kubectl", *args], {}, stdin)

    def manifests(self) -> Path:
        return CHECKOUT / os.environ.get("DEMO_MANIFESTS", "manifests/base")

    def clouds_yaml(self) -> str:
        return one_cloud(self._clouds_file, self.cloud)

    def volume(self, name: str) -> dict[str, Any] | None:
        return _json([sys.executable, "-m", "tests.demo.cinder", self.cloud, name], {})

    def hints(self) -> list[str]:
        return [
            "kubectl -n openstack-csi get pods",
            f"kubectl delete -k {self.manifests().relative_to(CHECKOUT)}   # removes the driver",
        ]


def chosen() -> Site:
    """The place that the environment asks for."""
    cloud = os.environ.get("OS_CLOUD", "")
    if os.environ.get("KUBECONFIG") and cloud:
        return OwnSite(cloud)
    return BedSite()


def one_cloud(path: Path, name: str) -> str:
    """A clouds.yaml with that cloud alone, under the name `openstack`."""
    clouds = yaml.safe_load(path.read_text())["clouds"]
    return yaml.safe_dump({"clouds": {"openstack": clouds[name]}})


def _json(argv: list[str], environment: dict[str, str]) -> Any:
    return json.loads(_run(argv, environment, None))


def _run(argv: list[str], environment: dict[str, str], stdin: str | None) -> str:
    done = subprocess.run(
        argv, input=stdin, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
