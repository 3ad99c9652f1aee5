"""Starts, finds and ends the bed's long-running programs, and runs the short ones.

A program is known by its pid *and* its start time, so that a later process which got the same number is never taken for
it. `posix_spawn` and not `Popen`: what is started here outlives the command that started it.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import BedError
from .progress import Say

START_TIME = 19  # index of starttime among the fields after the program's name in /proc/PID/stat


def run(argv: Sequence[str | Path], *, stdin: str | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run a short command and return what it printed.

    Raises:
        BedError: when it fails, with its last words.
    """
    done = subprocess.run([str(a) for a in argv], input=stdin, env=env, text=True, capture_output=True, check=False)
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip() or f"exit status {done.returncode}")[-2000:]
        raise BedError(f"{' '.join(str(a) for a in argv[:6])}: {words}")
    return done.stdout


def succeeds(argv: Sequence[str | Path]) -> bool:
    """Whether a short command ends well."""
    silent = subprocess.DEVNULL
    return (
        subprocess.run([str(a) for a in argv], stdin=silent, stdout=silent, stderr=silent, check=False).returncode == 0
    )


def wait_until(
    what: str,
    check: Callable[[], object],
    seconds: float,
    *,
    say: Say = lambda text: None,
    hint: str = "",
    every: float = 0.1,
) -> None:
    """Wait until `check()` is true, at most `seconds`, saying meanwhile what is waited for.

    Raises:
        BedError: when the time is over, with `hint` (where to look).
    """
    end = time.monotonic() + seconds
    while not check():
        left = end - time.monotonic()
        if left <= 0:
            raise BedError(f"{what}: not after {seconds:.0f} s{'; ' + hint if hint else ''}")
        say(f"waiting for {what}, {left:.0f} s left")
        time.sleep(every)


def start_time(pid: int) -> str | None:
    """When the process started, in the kernel's ticks; None for one that is gone or only waits to be reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[START_TIME]


def started_at(pid: int) -> float:
    """When the process started, in seconds of the epoch; 0 for one that is gone."""
    ticks = start_time(pid)
    booted = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
    return int(booted.split()[1]) + int(ticks) / os.sysconf("SC_CLK_TCK") if ticks else 0.0


def first_child(pid: int) -> int | None:
    """The one child of `pid`, as of an `unshare --fork`."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] not in "ZX":
            return int(entry.parent.name)
    return None


@dataclass(frozen=True)
class Running:
    """A program that runs; `since` is in seconds of the epoch."""

    name: str
    pid: int
    since: float
    log: Path


@dataclass(frozen=True)
class Processes:
    """The programs recorded in the folder `pids`, which write to `logs`."""

    pids: Path
    logs: Path

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def start(self, name: str, argv: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
        """Start a program unless it runs; its output goes to the end of its log."""
        if self.alive(name):
            return
        for folder in (self.pids, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        pid = os.posix_spawnp(
            str(argv[0]),
            [str(a) for a in argv],
            dict(os.environ if env is None else env),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(self.log(name)), append, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGINT],
        )
        (self.pids / name).write_text(f"{pid} {start_time(pid)}\n")

    def alive(self, name: str) -> int | None:
        """The program's pid, or None when it does not run."""
        try:
            pid, started = (self.pids / name).read_text().split()
        except (OSError, ValueError):
            return None
        reap(int(pid))
        return int(pid) if start_time(int(pid)) == started else None

    def stop(self, name: str, sign: signal.Signals = signal.SIGTERM, seconds: float = 10) -> None:
        """End a program, hard when it does not go in time."""
        for each in (sign, signal.SIGKILL):
            pid = self.alive(name)
            if pid is None:
                break
            os.kill(pid, each)
            try:
                wait_until(f"the end of {name}", lambda: not self.alive(name), seconds, every=0.02)
            except BedError:
                if each == signal.SIGKILL:
                    raise
        (self.pids / name).unlink(missing_ok=True)

    def running(self) -> list[Running]:
        """What runs now."""
        names = sorted(p.name for p in self.pids.glob("*")) if self.pids.is_dir() else []
        found = ((name, self.alive(name)) for name in names)
        return [Running(name, pid, started_at(pid), self.log(name)) for name, pid in found if pid]


def reap(pid: int) -> None:
    """Take the exit status of a child of ours, so that it does not stay as a zombie; no child of ours is no error."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
