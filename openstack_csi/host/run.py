"""The only place that starts child processes.

Every tool (mount, mkfs, blkid …) runs from an argument list, in the C locale, with nothing on its standard input, and
is killed at its deadline. Only plain `subprocess.run` is used: `preexec_fn`, `user=` and `os.fork` would break gRPC
in this process.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from openstack_csi.errors import DeadlineExceeded, FailedPrecondition

PACKAGES = {
    "blkid": "util-linux",
    "mount": "mount",
    "umount": "mount",
    "e2fsck": "e2fsprogs",
    "mkfs.ext2": "e2fsprogs",
    "mkfs.ext3": "e2fsprogs",
    "mkfs.ext4": "e2fsprogs",
    "resize2fs": "e2fsprogs",
    "mkfs.xfs": "xfsprogs",
    "xfs_growfs": "xfsprogs",
}
"""The Debian package of each tool."""

_LONGEST_OUTPUT = 2000  # characters of a tool's complaint that fit an event


@dataclass(frozen=True)
class Completed:
    """What a child left behind."""

    stdout: str
    stderr: str
    code: int


class ToolFailed(FailedPrecondition):
    """A child ended with a code that its caller did not expect; the text carries what it said."""

    def __init__(self, argv: Sequence[str], completed: Completed) -> None:
        said = " ".join((completed.stderr.strip() or completed.stdout.strip()).split())[:_LONGEST_OUTPUT]
        super().__init__(f"`{' '.join(argv)}` failed with code {completed.code}: {said or 'it said nothing'}")
        self.completed = completed


class Run(Protocol):
    """How the rest of `host` starts a tool."""

    def __call__(self, argv: Sequence[str], timeout: float, ok_codes: Collection[int] = (0,)) -> Completed:
        """Run the tool to its end.

        Args:
            argv: the tool and its arguments.
            timeout: seconds until it is killed.
            ok_codes: exit codes that are an answer, not a failure.

        Raises:
            ToolFailed: it ended with another code.
            DeadlineExceeded: it was killed.
            FailedPrecondition: the tool is not installed.
        """


Observer = Callable[[str, float, str], None]
"""Told of each child: the tool's name, its seconds, and "ok", "failed", "killed" or "missing"."""


def _unobserved(tool: str, seconds: float, outcome: str) -> None:
    pass


class Runner:
    """`Run` on the real machine."""

    def __init__(self, observe: Observer = _unobserved, clock: Callable[[], float] = time.monotonic) -> None:
        self._observe = observe
        self._clock = clock

    def __call__(self, argv: Sequence[str], timeout: float, ok_codes: Collection[int] = (0,)) -> Completed:
        """See `Run`."""
        tool, began, outcome = argv[0], self._clock(), "failed"
        try:
            done = subprocess.run(
                list(argv),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=timeout,
                env=_environment(),
                check=False,
                encoding="utf-8",
                errors="replace",
            )
            outcome = "ok" if done.returncode in ok_codes else "failed"
        except FileNotFoundError:
            outcome = "missing"
            package = PACKAGES.get(tool, tool)
            raise FailedPrecondition(
                f"the tool {tool} is not installed", hint=f"Install the Debian package {package} on the node's image."
            ) from None
        except subprocess.TimeoutExpired:
            outcome = "killed"
            raise DeadlineExceeded(f"`{' '.join(argv)}` was killed after {timeout:.0f} s without an end") from None
        finally:
            self._observe(tool, self._clock() - began, outcome)
        completed = Completed(done.stdout, done.stderr, done.returncode)
        if outcome != "ok":
            raise ToolFailed(argv, completed)
        return completed


def _environment() -> dict[str, str]:
    # A shell of an ordinary user has no sbin in its PATH, but mkfs and blkid live there.
    path = os.environ.get("PATH", "/usr/bin:/bin")
    return {**os.environ, "LC_ALL": "C", "PATH": f"{path}:/usr/sbin:/sbin"}
