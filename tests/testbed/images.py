"""Small container images, made of files without a registry: what pods' sandboxes and test pods run."""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .layout import BUSYBOX_IMAGE, PAUSE_IMAGE, Layout
from .processes import run

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
BUSYBOX = Path("/bin/busybox")


@dataclass(frozen=True)
class Archive:
    """An image archive that `ctr images import` reads. Its file name changes with its content."""

    reference: str
    path: Path


def small_images(layout: Layout) -> list[Archive]:
    """The archives of the pause and busybox images, written unless they are there."""
    links: dict[str, str | bytes] = {f"bin/{applet}": "busybox" for applet in run([BUSYBOX, "--list"]).split()}
    passwd: dict[str, str | bytes] = {"etc/passwd": b"root:x:0:0:root:/:/bin/sh\n"}
    busybox = {**links, "bin/busybox": BUSYBOX.read_bytes(), **passwd, "tmp/.keep": b""}
    pause: dict[str, str | bytes] = {"pause": (layout.containerd / "pause").read_bytes()}
    return [
        _be_written(layout.images, PAUSE_IMAGE, image(PAUSE_IMAGE, pause, ["/pause"])),
        _be_written(layout.images, BUSYBOX_IMAGE, image(BUSYBOX_IMAGE, busybox, None)),
    ]


def _be_written(folder: Path, reference: str, content: bytes) -> Archive:
    name = reference.rpartition("/")[2].replace(":", "-")
    path = folder / f"{name}-{hashlib.sha256(content).hexdigest()[:12]}.tar"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return Archive(reference, path)


def image(reference: str, files: Mapping[str, str | bytes], entrypoint: list[str] | None) -> bytes:
    """A docker-archive of one layer; a file's value is its content or, as a str, where a symlink leads."""
    layer = _tar(files)
    digest = hashlib.sha256(layer).hexdigest()
    config = json.dumps(
        {
            "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {"Env": ["PATH=/bin"], "Entrypoint": entrypoint},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        }
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    layer_name = f"{digest}/layer.tar"
    manifest = [{"Config": config_name, "RepoTags": [reference], "Layers": [layer_name]}]
    return _tar({config_name: config, layer_name: layer, "manifest.json": json.dumps(manifest).encode()})


def _tar(files: Mapping[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    folders = sorted({str(p) for name in files for p in PurePosixPath(name).parents} - {"."})
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for folder in folders:
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for name, value in files.items():
            entry = tarfile.TarInfo(name)
            entry.mode = 0o755
            if isinstance(value, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, value
                tar.addfile(entry)
            else:
                entry.size = len(value)
                tar.addfile(entry, io.BytesIO(value))
    return buffer.getvalue()
