"""`make demo`: the driver's main job, step by step, each with its seconds.

Everything is real: the image is built from the Dockerfile, the driver installed from the manifests and one Secret,
and what the steps claim is read back from Kubernetes and from Cinder.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import yaml

from tests.demo.site import CHECKOUT, Site, chosen

DRIVER_NAMESPACE = "openstack-csi"
NAMESPACE = "openstack-csi-demo"
PATIENCE = 120.0
"""Seconds that one step may take, once everything is up."""


@dataclass
class Story:
    """The steps told so far."""

    told: list[tuple[str, float]] = field(default_factory=list)
    now: str = ""

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One step: told when it begins, with its seconds when it is done."""
        self.now = title
        print(f"\n▶ {title}", flush=True)
        began = time.monotonic()
        yield
        seconds = time.monotonic() - began
        self.told.append((title, seconds))
        print(f"  done in {seconds:.1f} s", flush=True)

    def table(self) -> str:
        """What was done, and how long it took."""
        width = max(len(title) for title, _ in self.told)
        lines = [f"  {title:{width}}  {seconds:7.1f} s" for title, seconds in self.told]
        return "\n".join(lines)


class Demo:
    """The main job, on a site."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.story = Story()

    def run(self) -> None:
        """All steps, in order. Raises where one fails; `story.now` is then its title."""
        with self.story.step("Kubernetes and OpenStack are up, and the image is built"):
            self.site.be_up()
        with self.story.step("The driver is installed: kubectl apply -k, and one Secret with clouds.yaml"):
            self.install()
        with self.story.step("A claim of 1 GiB and a pod that uses it"):
            self.apply(self.claim(), self.pod("first"))
            volume = self.bound()
        with self.story.step("The volume in Cinder, with its stamp"):
            self.show(volume)
        with self.story.step("The pod runs and writes"):
            first = self.running("first")
            self.exec("first", "echo written by the first pod > /data/note && sync")
        with self.story.step(f"The pod moves from {first} to another node, its data with it"):
            self.kubectl("delete", "pod", "first", "--wait=true")
            self.apply(self.pod("second", not_on=first))
            second = self.running("second")
            note = self.exec("second", "cat /data/note").strip()
            print(f"  on {second}: {note}")
            if note != "written by the first pod" or second == first:
                raise RuntimeError(f"the data did not move: {note!r} on {second}, first on {first}")
        with self.story.step("Pod and claim are deleted; the volume is gone from Cinder"):
            self.kubectl("delete", "pod", "second", "--wait=true")
            self.kubectl("delete", "pvc", "data", "--wait=true")
            self.until("the volume is gone from Cinder", lambda: self.site.volume(volume) is None or None)
            self.site.kubectl("delete", "namespace", NAMESPACE, "--wait=true", "--timeout=120s")

    def install(self) -> None:
        """Apply the manifests, the Secret and the class, and wait until the driver is ready on every node."""
        self.site.kubectl("apply", "-k", str(self.site.manifests()))
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "openstack-csi-clouds", "namespace": DRIVER_NAMESPACE},
            "stringData": {"clouds.yaml": self.site.clouds_yaml()},
        }
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        self.site.kubectl("apply", "-f", "-", stdin=json.dumps(secret))
        self.site.kubectl("apply", "-f", "-", stdin=json.dumps(namespace))
        self.site.kubectl("apply", "-f", str(CHECKOUT / "manifests/examples/storageclasses.yaml"))
        for workload in ("daemonset/openstack-csi-node", "deployment/openstack-csi-controller"):
            self.site.kubectl("-n", DRIVER_NAMESPACE, "rollout", "status", workload, f"--timeout={PATIENCE:.0f}s")

    def claim(self) -> dict[str, Any]:
        """The example's claim, of the class that waits for its pod."""
        claim: dict[str, Any] = yaml.safe_load((CHECKOUT / "manifests/examples/claim.yaml").read_text())
        return claim

    def pod(self, name: str, not_on: str = "") -> dict[str, Any]:
        """The example's pod under another name, and if need be on another node."""
        pod: dict[str, Any] = yaml.safe_load((CHECKOUT / "manifests/examples/pod.yaml").read_text())
        pod["metadata"]["name"] = name
        container = pod["spec"]["containers"][0]
        container["image"] = self.site.image
        container["imagePullPolicy"] = "IfNotPresent"
        if not_on:
            other = {"key": "kubernetes.io/hostname", "operator": "NotIn", "values": [not_on]}
            terms = {"nodeSelectorTerms": [{"matchExpressions": [other]}]}
            pod["spec"]["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}
        return pod

    def bound(self) -> str:
        """Wait until the claim is Bound; the name of its PV, which is the volume's name in Cinder."""
        self.kubectl("wait", "--for=jsonpath={.status.phase}=Bound", "pvc/data", f"--timeout={PATIENCE:.0f}s")
        name = self.kubectl("get", "pvc", "data", "-o", "jsonpath={.spec.volumeName}")
        print(f"  Bound to {name}")
        return name

    def show(self, name: str) -> None:
        """Print the volume as Cinder shows it, and hold its stamp against the claim."""
        volume = self.site.volume(name)
        if volume is None:
            raise RuntimeError(f"Cinder has no volume named {name}")
        print("\n".join(f"  {line}" for line in json.dumps(volume, indent=2).splitlines()))
        if volume["metadata"].get("csi.storage.k8s.io/pvc/name") != "data":
            raise RuntimeError("the volume does not carry the claim's name")

    def running(self, pod: str) -> str:
        """Wait until the pod is Ready; the node that it runs on."""
        self.kubectl("wait", "--for=condition=Ready", f"pod/{pod}", f"--timeout={PATIENCE:.0f}s")
        node = self.kubectl("get", "pod", pod, "-o", "jsonpath={.spec.nodeName}")
        print(f"  {pod} runs on {node}: {self.exec(pod, 'df -h /data | tail -n 1').strip()}")
        return node

    def exec(self, pod: str, command: str) -> str:
        """Run a shell command in the pod."""
        return self.kubectl("exec", pod, "--", "sh", "-c", command)

    def apply(self, *objects: dict[str, Any]) -> None:
        """Apply objects in the demo's namespace."""
        for each in objects:
            self.kubectl("apply", "-f", "-", stdin=json.dumps(each))

    def kubectl(self, *args: str, stdin: str | None = None) -> str:
        """Run kubectl in the demo's namespace."""
        return self.site.kubectl("-n", NAMESPACE, *args, stdin=stdin)

    def until(self, what: str, look: Callable[[], object | None]) -> None:
        """Look twice a second until there is something."""
        end = time.monotonic() + PATIENCE
        while look() is None:
            if time.monotonic() > end:
                raise RuntimeError(f"not within {PATIENCE:.0f} s: {what}")
            time.sleep(0.5)

    def why(self) -> str:
        """What Kubernetes and the driver say, after a step failed."""
        looks = (
            ("-n", NAMESPACE, "get", "events", "--sort-by=.lastTimestamp"),
            ("-n", DRIVER_NAMESPACE, "get", "pods", "-o", "wide"),
            ("-n", DRIVER_NAMESPACE, "logs", "deployment/openstack-csi-controller", "--all-pods", "--tail=25"),
            ("-n", DRIVER_NAMESPACE, "logs", "daemonset/openstack-csi-node", "--all-pods", "--tail=15"),
        )
        said = []
        for look in looks:
            try:
                said.append(f"$ kubectl {' '.join(look)}\n{self.site.kubectl(*look)}")
            except Exception as error:
                said.append(f"$ kubectl {' '.join(look)}\n{error}")
        return "\n".join(said)


def main() -> int:
    """Tell the story; 1 when a step failed."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything up at the end")
    keep = parser.parse_args().keep
    site = chosen()
    demo = Demo(site)
    began = time.monotonic()
    try:
        demo.run()
    except (Exception, KeyboardInterrupt) as error:
        print(f"\n✗ {demo.story.now}\n  {error or type(error).__name__}\n\n{demo.why()}", flush=True)
        print("\nLogs of the test bed: python3 -m tests.testbed logs", flush=True)
        return 1
    finally:
        if keep:
            print("\nIt stays up. To look around:\n" + "\n".join(f"  {hint}" for hint in site.hints()), flush=True)
        else:
            site.be_down()
    print(f"\n{demo.story.table()}\n\nIn all {time.monotonic() - began:.1f} s.", flush=True)
    if not keep:
        print("To look around yourself: make demo KEEP=1", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
