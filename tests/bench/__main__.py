"""Measures what the driver costs, prints it beside what was promised, and writes build/bench.json.

    python -m tests.bench [calls] [speed] [memory] [--repeat 3] [--sizes 1,20,200]

    calls    calls to the cloud of each volume's life, at 50 at once, and while nothing is wanted; fails when a volume
             costs more than one create, one attach, one detach and one delete
    speed    seconds of a volume's life, 1, 20 and 200 at once, and the controller's CPU and API requests for it
    memory   resident memory of a node after 500 stagings, and of a controller with 3,000 claims

The cloud is the fake one (50 ms a call, 2 s to create, 3 s to attach and to detach, 1 s to delete), the API server and
its controllers are the test bed's, the driver's roles run as processes with the flags as shipped.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from openstack_csi.kube.rest import Rest
from tests.bench import calls, crowd, speed, stagings
from tests.bench.cluster import DRIVER, Cluster
from tests.bench.figures import Book, table
from tests.bench.lives import Lives
from tests.bench.machine import load
from tests.bench.programs import CHECKOUT, CloudProgram, Controller, Ended, NotInTime
from tests.testbed.bed import Bed
from tests.testbed.errors import BedError

PARTS = ("calls", "speed", "memory")
SERVERS = 10
INSIDE = "OPENSTACK_CSI_BENCH_INSIDE"
"""Set for the process that runs where the API server is reached."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts; 1 where a promise about calls is broken or something did not run."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    told = _parser().parse_args(words)
    if os.geteuid() != 0:
        print("the benchmarks need root: they make a network namespace and loop devices", file=sys.stderr)
        return 1
    if INSIDE in os.environ or told.parts == ["memory"]:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # not without ending what was started
        return measure(told)
    bed = Bed()
    was_up = bool(bed.running())
    try:
        bed.up(nodes=0, openstack=False)
        environment = {**os.environ, **bed.environment, INSIDE: "1"}
        return _run(bed.enter([sys.executable, "-m", "tests.bench", *words]), environment)
    except BedError as error:
        print(f"the test bed did not come up: {error}", file=sys.stderr)
        return 1
    finally:
        if not was_up and not told.keep:
            bed.down()


def _run(argv: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run the rest in the other process, which is to end in order when this one is asked to end; its exit code."""
    process = subprocess.Popen(argv, env=environment)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    try:
        return process.wait()
    except KeyboardInterrupt:  # the terminal has told it too
        return process.wait()


def measure(told: argparse.Namespace) -> int:
    """Measure, where the API server is reached."""
    parts = told.parts or PARTS
    print(f"the machine: {load()}", flush=True)
    began = time.monotonic()
    book, broken = Book(), list[str]()
    with tempfile.TemporaryDirectory(prefix="openstack-csi-bench-") as name:
        folder = Path(name)
        try:
            if "calls" in parts or "speed" in parts:
                broken = _live(parts, told, folder, book)
            if "memory" in parts:
                print("\nmemory: a node, then a controller", flush=True)
                stagings.measure(folder, book)
                crowd.measure(folder, book)
        except (NotInTime, Ended) as failure:
            broken.append(str(failure))
    book.write(CHECKOUT / "build" / "bench.json")
    print(f"\n{table(book.figures)}")
    print(f"\nthe machine: {load()}; {time.monotonic() - began:.0f} s in all; figures in build/bench.json")
    for each in broken:
        print(f"BROKEN: {each}")
    return 1 if broken else 0


def _live(parts: Sequence[str], told: argparse.Namespace, folder: Path, book: Book) -> list[str]:
    """Let volumes live; what was broken of the promises about calls."""
    broken: list[str] = []
    with CloudProgram(folder, SERVERS) as cloud:
        environment = {"OS_CLIENT_CONFIG_FILE": str(cloud.clouds_yaml), "OS_CLOUD": "demo"}
        servers = [each["id"] for each in cloud.state()["servers"]]
        with Cluster(Rest.connect(), servers) as cluster, Controller(DRIVER, folder, environment) as controller:
            lives = Lives(cluster, cloud, controller)
            speed.warm_up(lives)
            if "calls" in parts:
                broken = calls.measure(lives, book)
            if "speed" in parts:
                speed.measure(lives, told.sizes, told.repeat, controller, book)
    return broken


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="calls|speed|memory", help="default: all")
    parser.add_argument("--repeat", type=int, default=3, help="how often each life is lived (default: 3)")
    parser.add_argument("--sizes", type=_sizes, default=(1, 20, 200), help="volumes at once (default: 1,20,200)")
    parser.add_argument("--keep", action="store_true", help="leave the test bed up")
    return parser


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
