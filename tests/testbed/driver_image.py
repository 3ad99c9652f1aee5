"""Builds the driver's image from the checkout's Dockerfile without a registry, and exports it for containerd.

buildah builds in chroots, so it needs no daemon and no privilege beyond root's. The base image cannot be pulled: a
stand-in is made of Debian packages, once. Everything is in the cache; an export is named by the hash of its sources.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

from .errors import BedError
from .images import Archive
from .layout import CHECKOUT, DRIVER_IMAGE, Layout
from .processes import run, succeeds
from .progress import Progress

SUITE = "bookworm"  # its Python, 3.11, is the oldest that the project runs on
BASE = f"localhost/testbed-base:{SUITE}"
BASE_PACKAGES = "python3,python3-venv,ca-certificates,usr-is-merged"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
INDEXES = ("PIP_INDEX_URL", "UV_DEFAULT_INDEX")  # build arguments, where the environment sets them
SOURCES_LISTS = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))


def build(layout: Layout, progress: Progress, checkout: Path = CHECKOUT) -> Archive:
    """The archive of the driver's image, built when there is none of these sources.

    Raises:
        BedError: when a step fails, with its last words.
    """
    archive = Archive(DRIVER_IMAGE, layout.images / f"openstack-csi-{fingerprint(checkout)}.tar")
    with _alone(layout):
        if archive.path.exists():
            return archive
        _base_be_there(layout, progress)
        with progress.step("build of the driver's image") as say:
            say("running the Dockerfile")
            log = layout.builds / "image.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("w") as words:
                done = subprocess.run(build_command(layout, checkout), stdout=words, stderr=words, check=False)
            if done.returncode:
                raise BedError(f"the image was not built, see {log}: {log.read_text()[-1500:]}")
            say("exporting")
            layout.images.mkdir(parents=True, exist_ok=True)
            new = archive.path.with_suffix(".new")
            new.unlink(missing_ok=True)
            # layers that are not compressed: containerd unpacks them at once
            run([*buildah(layout), "push", "--quiet", DRIVER_IMAGE, f"docker-archive:{new}:{DRIVER_IMAGE}"])
            for old in archives(layout):
                old.unlink()
            new.replace(archive.path)
    return archive


def archives(layout: Layout) -> list[Path]:
    """The exports that there are, the newest last."""
    return sorted(layout.images.glob("openstack-csi-*.tar"), key=lambda path: path.stat().st_mtime)


def latest(layout: Layout) -> Archive | None:
    """What was built last, whether or not the sources changed since."""
    found = archives(layout)
    return Archive(DRIVER_IMAGE, found[-1]) if found else None


def fingerprint(checkout: Path) -> str:
    """A hash of all that the image is made of: the Dockerfile, what it copies, and the base's packages."""
    digest = hashlib.sha256(f"{BASE} {BASE_PACKAGES}".encode())
    for path in sources(checkout):
        digest.update(f"\0{path.relative_to(checkout)}\0{os.access(path, os.X_OK)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def sources(checkout: Path) -> list[Path]:
    """The files that a build reads: the Dockerfile, .dockerignore, and what COPY takes from the checkout.

    Raises:
        BedError: when there is no Dockerfile.
    """
    dockerfile = checkout / "Dockerfile"
    if not dockerfile.exists():
        raise BedError(f"there is no {dockerfile}")
    found = {dockerfile, *checkout.glob(".dockerignore")}
    for name in copied(dockerfile.read_text()):
        for path in checkout.glob(name):
            found.update(path.rglob("*") if path.is_dir() else [path])
    return sorted(path for path in found if path.is_file() and "__pycache__" not in path.parts)


def copied(dockerfile: str) -> list[str]:
    """What the COPY lines of a Dockerfile take from the build's folder."""
    lines = re.sub(r"\\\n", " ", dockerfile).splitlines()
    copies = [shlex.split(line)[1:] for line in lines if line.startswith("COPY ") and "--from=" not in line]
    return [name for words in copies for name in words[:-1] if not name.startswith("--")]


def buildah(layout: Layout) -> list[str]:
    """Buildah, with everything that it keeps in the cache."""
    store = layout.cache / "buildah"
    return ["buildah", f"--root={store}/storage", f"--runroot={store}/run", "--storage-driver=overlay"]


def build_command(layout: Layout, checkout: Path) -> list[str]:
    options = ["--isolation=chroot", "--layers", "--pull-never", "--timestamp=0", f"--build-arg=BASE_IMAGE={BASE}"]
    options += [f"--build-arg={name}={os.environ[name]}" for name in INDEXES if os.environ.get(name)]
    if CERTIFICATES.exists():
        options.append(f"--secret=id=ca,src={CERTIFICATES}")
    return [*buildah(layout), "bud", *options, f"--tag={DRIVER_IMAGE}", str(checkout)]


def _base_be_there(layout: Layout, progress: Progress) -> None:
    """The stand-in for the Dockerfile's base image, in buildah's store. Not for shipping."""
    if succeeds([*buildah(layout), "inspect", "--type=image", BASE]):
        return
    with progress.step("build of the base image") as say:
        folder = layout.builds / "base"
        folder.mkdir(parents=True, exist_ok=True)
        tree, found = folder / "tree.tar", next(path for path in SOURCES_LISTS if path.exists())
        packages = folder / found.name
        packages.write_text(found.read_text())
        say("installing Debian packages")
        run(base_command(tree, packages))
        say("importing")
        container = run([*buildah(layout), "from", "scratch"]).strip()
        run([*buildah(layout), "add", "--quiet", container, tree, "/"])
        path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        run([*buildah(layout), "config", "--cmd=python3", f"--env=PATH={path}", container])
        run([*buildah(layout), "commit", "--quiet", "--rm", container, BASE])
        tree.unlink()


def base_command(tree: Path, packages: Path) -> list[str]:
    """How mmdebstrap makes the base: from the machine's own package sources, without documentation.

    It would leave the machine's resolv.conf and host name in the tree; its copy of the sources gets the official
    image's name.
    """
    hooks = (
        'rm -f "$1"/etc/resolv.conf "$1"/etc/hostname "$1"/etc/apt/apt.conf.d/99mmdebstrap',
        'for f in "$1"/etc/apt/sources.list.d/0000*.sources; do '
        'if [ -e "$f" ]; then mv "$f" "$1"/etc/apt/sources.list.d/debian.sources; fi; done',
        'rm -rf "$1"/var/log/apt "$1"/var/log/*.log "$1"/var/cache/debconf/*-old "$1"/var/lib/dpkg/*-old',
        'find "$1" -xdev -name __pycache__ -prune -exec rm -rf {} +',
        'ln -sf python3 "$1"/usr/bin/python',
    )
    return [
        "mmdebstrap",
        "--variant=minbase",
        f"--include={BASE_PACKAGES}",
        "--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
        '--aptopt=Acquire::Check-Valid-Until "false"',
        *(f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "man", "locale", "info")),
        "--dpkgopt=path-include=/usr/share/doc/*/copyright",
        *(f"--customize-hook={hook}" for hook in hooks),
        SUITE,
        str(tree),
        str(packages),
    ]


@contextlib.contextmanager
def _alone(layout: Layout) -> Iterator[None]:
    """One build at a time in a cache."""
    layout.cache.mkdir(parents=True, exist_ok=True)
    with (layout.cache / "image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
