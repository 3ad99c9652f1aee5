"""Says what long work is doing, how far it is, and how long it took last time.

Output is plain lines, at most one every few seconds for a step, so that steps side by side and log files read well.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from .errors import BedError

Say = Callable[[str], None]

QUICK = 2.0  # seconds; a step that took no longer says only that it is done
EVERY = 10.0  # seconds between two lines of one step


class Durations:
    """How long each step took last time, in seconds, kept in a JSON file."""

    def __init__(self, path: Path):
        self._path = path
        self._lock = threading.Lock()

    def last(self, step: str) -> float | None:
        return self._read().get(step)

    def remember(self, step: str, seconds: float) -> None:
        with self._lock:
            known = self._read() | {step: round(seconds, 1)}
            self._path.parent.mkdir(parents=True, exist_ok=True)
            new = self._path.with_suffix(".new")
            new.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
            new.replace(self._path)

    def _read(self) -> dict[str, float]:
        try:
            return dict(json.loads(self._path.read_text()))
        except (OSError, ValueError):
            return {}


class Progress:
    """Where steps report to. `clock` gives seconds."""

    def __init__(self, durations: Path, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic):
        self._durations = Durations(durations)
        self._out = out
        self._clock = clock
        self._start = clock()
        self._lock = threading.Lock()

    def line(self, text: str) -> None:
        """Print one line, with the seconds since the start in front."""
        with self._lock:
            print(f"{self._clock() - self._start:6.1f}s  {text}", file=self._out or sys.stdout, flush=True)

    @contextmanager
    def step(self, name: str) -> Iterator[Say]:
        """A piece of work: yields `say(detail)`, prints the latest detail now and then, and remembers the duration."""
        last, start = self._durations.last(name), self._clock()
        detail: list[str] = []
        ended = threading.Event()

        def tell() -> None:
            while not ended.wait(EVERY):
                took = f"{self._clock() - start:.0f} s"
                usual = f", took {last:.0f} s last time" if last else ""
                self.line(f"{name}: {detail[-1] if detail else 'under way'} ({took}{usual})")

        def say(text: str) -> None:
            detail[:] = [text]

        if last is None or last > QUICK:
            self.line(f"{name} …" + (f" (took {last:.0f} s last time)" if last else ""))
        teller = threading.Thread(target=tell, name=f"progress of {name}", daemon=True)
        teller.start()
        try:
            yield say
        except BaseException as error:
            self.line(f"{name}: FAILED after {self._clock() - start:.1f} s: {error}")
            raise
        finally:
            ended.set()
            teller.join()
        self._durations.remember(name, self._clock() - start)
        self.line(f"{name}: done in {self._clock() - start:.1f} s")


def parallel(tasks: Mapping[str, Callable[[], object]]) -> None:
    """Run the tasks side by side and wait for all.

    A task that fails does not stop the others: what they build is then in the cache for the next try.

    Raises:
        BedError: with the reasons of all that failed.
    """
    failures: dict[str, BaseException] = {}

    def run(name: str, task: Callable[[], object]) -> None:
        try:
            task()
        except BaseException as error:
            failures[name] = error

    threads = [threading.Thread(target=run, args=item, name=item[0], daemon=True) for item in tasks.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        first = next(iter(failures.values()))
        raise BedError("; ".join(f"{name}: {error}" for name, error in failures.items())) from first
