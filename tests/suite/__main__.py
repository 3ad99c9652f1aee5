"""Runs the suites that need more than Python, each against what it needs, and ends what it started.

    python -m tests.suite contract sanity host cluster

    contract   the same cases on the fake OpenStack and on the real one
    sanity     csi-sanity on the fake, and on real Cinder with real devices and mounts
    host       file systems and mounts on the real kernel
    cluster    the driver, installed from its manifests, in a real two-node cluster

A suite that fails does not keep the next from running. A machine that cannot run one (no root) says so and fails:
what should run and does not is no success.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.testbed import builds
from tests.testbed.bed import Bed
from tests.testbed.errors import BedError
from tests.testbed.progress import parallel

BED = frozenset({"contract", "sanity", "cluster"})
"""The suites for which the bed is started."""


@dataclass(frozen=True)
class Run:
    """One run of pytest: the folder, its options, and whether it runs where the bed is reached."""

    name: str
    arguments: tuple[str, ...]
    inside: bool = False


RUNS = {
    "contract": (
        Run("contract, fake", ("tests/contract", "--cloud=fake")),
        Run("contract, real", ("tests/contract", "--cloud=real"), inside=True),
    ),
    "sanity": (
        Run("sanity, fake", ("tests/sanity", "--cloud=fake")),
        Run("sanity, real", ("tests/sanity", "--cloud=real"), inside=True),
    ),
    "host": (Run("host", ("tests/host",)),),
    "cluster": (Run("cluster", ("tests/cluster",)),),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named suites; the number of failed runs is the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.suite", description=__doc__)
    parser.add_argument("suites", nargs="+", choices=sorted(RUNS))
    parser.add_argument("--keep", action="store_true", help="leave the test bed up")
    parser.add_argument("--pytest", default="", help="further options for pytest, such as '-k expand -x'")
    told = parser.parse_args(arguments)
    if os.geteuid() != 0:
        print("these suites need root: they mount file systems and make network namespaces", file=sys.stderr)
        return 1
    bed = Bed()
    results: list[tuple[str, int, float]] = []
    try:
        if BED & set(told.suites):
            be_up(bed, cluster="cluster" in told.suites, sanity="sanity" in told.suites)
        for suite in told.suites:
            results += [one(run, bed, told.pytest.split()) for run in RUNS[suite]]
    except BedError as error:
        print(f"the test bed did not come up: {error}", file=sys.stderr)
        results.append(("test bed", 1, 0.0))
    finally:
        if not told.keep:
            bed.down()
    print()
    for name, code, seconds in results:
        print(f"{name:16} {'passed' if code == 0 else 'FAILED'}  {seconds:6.1f} s", flush=True)
    return sum(1 for _, code, _ in results if code)


def be_up(bed: Bed, *, cluster: bool, sanity: bool) -> None:
    """The bed runs: OpenStack, and where they are wanted csi-sanity, Kubernetes and the driver's image."""
    builds_wanted = {"bed": lambda: bed.prepare(kubernetes=cluster, image=cluster)}
    if sanity:
        builds_wanted["csi-sanity"] = lambda: builds.csi_sanity(bed.layout, bed.progress)
    parallel(builds_wanted)
    bed.up(kubernetes=cluster)
    if cluster:
        bed.build_image()


def one(run: Run, bed: Bed, further: Sequence[str]) -> tuple[str, int, float]:
    """Run pytest once: its name, exit code and seconds."""
    print(f"\n=== {run.name}", flush=True)
    argv = [sys.executable, "-m", "pytest", "-q", *run.arguments, *further]
    began = time.monotonic()
    done = subprocess.run(bed.enter(argv) if run.inside else argv, env={**os.environ, **bed.environment}, check=False)
    return run.name, done.returncode, time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
