"""Builds Kubernetes, containerd and csi-sanity from Go modules into the cache, once for each version.

A Go module that is generated here asks for exactly what the release asks for: its `require` lines are copied, with its
go.sum, so that each download is the one that upstream built with.
"""

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import BedError
from .golang import Go, toolchain
from .layout import CONTAINERD, CSI_SANITY, KUBERNETES, SOURCES, Layout
from .processes import run
from .progress import Progress

NODE_PROGRAMS = ("kubelet", "kube-proxy", "kube-controller-manager", "kube-scheduler")
FRONT_PROGRAMS = ("etcd", "kube-apiserver", "kubectl")  # what KUBEBUILDER_ASSETS holds
CONTAINERD_PROGRAMS = ("containerd", "ctr", "containerd-shim-runc-v2")
CONTAINERD_TAGS = "no_btrfs,no_devmapper,no_zfs,no_aufs,urfave_cli_no_docs"
CONTAINERD_MODULE = "github.com/containerd/containerd/v2"


@dataclass(frozen=True)
class Programs:
    """Where Kubernetes' programs are."""

    nodes: Path
    front: Path

    def path(self, name: str) -> Path:
        return (self.front if name in FRONT_PROGRAMS else self.nodes) / name


def programs(layout: Layout, environ: Mapping[str, str] = os.environ) -> Programs:
    """Which folders Kubernetes' programs come from: KUBEBUILDER_ASSETS where it fits, the cache for the rest."""
    assets = usable_assets(environ)
    if assets is None:
        return Programs(layout.kubernetes, layout.kubernetes)
    whole = (layout.kubernetes / "kube").exists()
    return Programs(layout.kubernetes if whole else Path(f"{layout.kubernetes}-nodes"), assets)


def usable_assets(environ: Mapping[str, str]) -> Path | None:
    """The folder KUBEBUILDER_ASSETS, when it has all three programs and a server of the kubelet's minor version.

    A kubelet must not be newer than its API server; and a newer server than this one is not what was tested.
    """
    folder = Path(environ.get("KUBEBUILDER_ASSETS") or "/nonexistent")
    if not all((folder / name).is_file() for name in FRONT_PROGRAMS):
        return None
    version = run([folder / "kube-apiserver", "--version"])
    return folder if f"v{KUBERNETES.rpartition('.')[0]}." in version else None


def kubernetes(layout: Layout, progress: Progress) -> None:
    """Build the Kubernetes programs that are not there."""
    found = programs(layout)
    program = found.nodes / "kube"
    if not program.exists():
        with progress.step(f"build of Kubernetes {KUBERNETES}") as say:
            go = toolchain(layout, say)
            module = layout.builds / found.nodes.name
            write_kubernetes_module(go, module)
            for source in SOURCES.glob("*.go"):
                shutil.copy(source, module / source.name)
            flags = [f"-ldflags=-s -w {' '.join(kubernetes_version_flags())}"]
            if found.front != found.nodes:
                flags.append("-tags=nodes")
            go.build(module, ["."], flags, found.nodes, layout.builds / f"{found.nodes.name}.log", say)
    for name in NODE_PROGRAMS + (FRONT_PROGRAMS if found.front == found.nodes else ()):
        if not (found.nodes / name).exists():
            (found.nodes / name).symlink_to("kube")


def kubernetes_version_flags() -> Iterator[str]:
    """What a release's own build would set: without, its programs say v0.0.0 and refuse each other."""
    minor = KUBERNETES.split(".")[1]
    values = {"gitVersion": f"v{KUBERNETES}", "gitMajor": "1", "gitMinor": minor, "gitTreeState": "clean"}
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        for name, value in values.items():
            yield f"-X {package}.{name}={value}"


def write_kubernetes_module(go: Go, folder: Path) -> None:
    """A module that needs Kubernetes as a release does."""
    source = go.module("k8s.io/kubernetes", f"v{KUBERNETES}", folder.parent / "download")
    write_module(folder, kubernetes_module((source / "go.mod").read_text()), source)


def kubernetes_module(upstream: str) -> str:
    """The go.mod of a module that needs Kubernetes, from Kubernetes' own.

    Kubernetes finds its staging modules (k8s.io/api and so on) by `replace` lines as folders of its own tree. Those
    lines do not count in a module that depends on it, so each is replaced by its release, v0.36.3 for v1.36.3.
    """
    staging = f"v0.{KUBERNETES.partition('.')[2]}"
    modules = re.findall(r"^\s+(k8s\.io/[a-z-]+) => \./staging", upstream, re.MULTILINE)
    required = "\n".join(blocks(upstream, "require"))
    required = re.sub(r" v0\.0\.0$", f" {staging}", required, flags=re.MULTILINE)
    replaced = "\n".join(f"\t{module} => {module} {staging}" for module in modules)
    own = re.findall(r"^(?:go|godebug) .*$", upstream, re.MULTILINE)
    return "\n".join(
        ["module kube", *own, f"require k8s.io/kubernetes v{KUBERNETES}", required, f"replace (\n{replaced}\n)", ""]
    )


def blocks(module: str, word: str) -> list[str]:
    """The `word ( … )` blocks of a go.mod."""
    return re.findall(rf"^{word} \(\n.*?^\)", module, re.MULTILINE | re.DOTALL)


def write_module(folder: Path, text: str, source: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "go.mod").write_text(text)
    (folder / "go.sum").write_bytes((source / "go.sum").read_bytes())


def containerd(layout: Layout, progress: Progress) -> None:
    """Build containerd, its shim and ctr, unless they are there, and the pause program for pods."""
    out = layout.containerd
    if all((out / name).exists() for name in (*CONTAINERD_PROGRAMS, "pause")):
        return
    with progress.step(f"build of containerd {CONTAINERD}") as say:
        go = toolchain(layout, say)
        folder = layout.builds / f"containerd-{CONTAINERD}"
        source = go.module(CONTAINERD_MODULE, f"v{CONTAINERD}", layout.builds / "download")
        write_module(folder, containerd_module((source / "go.mod").read_text()), source)
        about = f"{CONTAINERD_MODULE}/version"
        flags = [f"-ldflags=-s -w -X {about}.Version=v{CONTAINERD} -X {about}.Package={CONTAINERD_MODULE}"]
        log = layout.builds / f"containerd-{CONTAINERD}.log"
        mains = [f"{CONTAINERD_MODULE}/cmd/{name}" for name in CONTAINERD_PROGRAMS]
        go.build(folder, mains, [*flags, f"-tags={CONTAINERD_TAGS}"], out, log, say)
        pause = layout.builds / "pause"
        pause.mkdir(exist_ok=True)
        (pause / "go.mod").write_text("module pause\n")
        shutil.copy(SOURCES / "pause" / "main.go", pause)
        go.build(pause, ["."], ["-ldflags=-s -w"], out, layout.builds / "pause.log", say)


def containerd_module(upstream: str) -> str:
    """The go.mod of a module that needs containerd, from containerd's own."""
    own = re.findall(r"^go .*$", upstream, re.MULTILINE)
    copied = [block for word in ("require", "exclude", "replace") for block in blocks(upstream, word)]
    return "\n".join(["module containers", *own, f"require {CONTAINERD_MODULE} v{CONTAINERD}", *copied, ""])


def csi_sanity(layout: Layout, progress: Progress) -> Path:
    """The csi-sanity program, built unless it is there."""
    program = layout.csi_sanity
    if program.exists():
        return program
    with progress.step(f"build of csi-sanity {CSI_SANITY}") as say:
        go = toolchain(layout, say)
        module = "github.com/kubernetes-csi/csi-test/v5"
        source = go.module(module, f"v{CSI_SANITY}", layout.builds / "download")
        folder = layout.builds / f"csi-sanity-{CSI_SANITY}"
        upstream = (source / "go.mod").read_text()
        own = re.findall(r"^go .*$", upstream, re.MULTILINE)
        text = "\n".join(["module sanity", *own, f"require {module} v{CSI_SANITY}", *blocks(upstream, "require"), ""])
        write_module(folder, text, source)
        log = layout.builds / f"csi-sanity-{CSI_SANITY}.log"
        go.build(folder, [f"{module}/cmd/csi-sanity"], ["-ldflags=-s -w"], program.parent, log, say)
    if not program.exists():
        raise BedError(f"{program} was not built")
    return program
