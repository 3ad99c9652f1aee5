"""What the driver said, also in containers that are gone: read from the nodes' disks as it is written.

The kubelet removes a pod's log with the pod. A file that was opened before can still be read, so a thread opens each as
soon as it is there, and goes on to read those that were removed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

EVERY = 0.2


class DriverLogs:
    """Follows the logs of a namespace's containers from now on."""

    def __init__(self, state: Path, namespace: str) -> None:
        self._state = state
        self._pattern = f"node-[0-9]*/var/log/pods/{namespace}_*/*/*.log"
        self._open: dict[tuple[int, int], tuple[str, TextIO]] = {}
        self._lines: list[tuple[float, str]] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="driver-logs", daemon=True)

    def start(self) -> None:
        self._look(skip=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
        for _, file in self._open.values():
            file.close()

    def since(self, when: float) -> list[str]:
        """The lines that were read since a time of time.monotonic(), each with its container in front."""
        with self._lock:
            return [line for at, line in self._lines if at >= when]

    def _run(self) -> None:
        while not self._stopping.wait(EVERY):
            self._look()

    def _look(self, skip: bool = False) -> None:
        for path in self._state.glob(self._pattern):
            try:
                found = path.stat()
                key = found.st_dev, found.st_ino
                if key not in self._open:
                    self._open[key] = _name(path), path.open(errors="replace")
                    if skip:
                        self._open[key][1].seek(0, 2)
            except OSError:  # removed between two looks
                continue
        with self._lock:
            for name, file in self._open.values():
                self._lines += [(time.monotonic(), f"{name}  {_text(line)}") for line in _whole_lines(file)]


def _whole_lines(file: TextIO) -> Iterator[str]:
    while True:
        at = file.tell()
        line = file.readline()
        if not line.endswith("\n"):
            file.seek(at)
            return
        yield line


def _name(path: Path) -> str:
    pod = path.parents[1].name.split("_")[1]
    return f"{pod}#{path.stem}"


def _text(line: str) -> str:
    """A line without what the container runtime puts before it (CRI: time, stream, tag)."""
    return line.rstrip("\n").split(" ", 3)[-1]
