"""`python -m tests.fakecloud`: the fake cloud in its own process, until it is interrupted or terminated."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from .cloud import FakeCloud
from .config import Config, Quota, Timings


def main() -> None:
    """Start, write the clouds.yaml, print the URL, wait."""
    options = _parse()
    cloud = FakeCloud(_config(options), host=options.host, port=options.port)
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with cloud:
        for i in range(options.servers):
            cloud.add_server(f"node-{i + 1}", cloud.config.zones[i % options.server_zones])
        if options.clouds_yaml:
            cloud.write_clouds_yaml(options.clouds_yaml)
        sys.stdout.write(f"{cloud.url}\n")
        sys.stdout.flush()
        ended.wait()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fakecloud", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 lets the kernel pick one")
    parser.add_argument("--clouds-yaml", type=Path, help="where to write the clouds.yaml")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds of every call")
    for name in ("create", "delete", "attach", "detach", "extend", "snapshot"):
        parser.add_argument(f"--{name}", type=float, default=0.0, help=f"seconds that {name} takes")
    parser.add_argument("--servers", type=int, default=0, help="servers node-1, node-2, ... to begin with")
    parser.add_argument("--server-zones", type=int, default=1, help="the first zones that these are spread over")
    parser.add_argument("--max-disks", type=int, default=Config.max_disks, help="of a server; -1 is no limit")
    parser.add_argument("--quota-volumes", type=int, default=Quota.volumes)
    parser.add_argument("--quota-gigabytes", type=int, default=Quota.gigabytes)
    parser.add_argument("--token-seconds", type=float, default=Config.token_seconds)
    parser.add_argument("--cross-az-attach", action="store_true")
    parser.add_argument("--seed", type=int, help="makes ids and probabilities repeatable")
    return parser.parse_args()


def _config(options: argparse.Namespace) -> Config:
    return Config(
        timings=Timings(
            create=options.create,
            delete=options.delete,
            attach=options.attach,
            detach=options.detach,
            extend=options.extend,
            snapshot=options.snapshot,
        ),
        latency=options.latency,
        seed=options.seed,
        quota=Quota(volumes=options.quota_volumes, gigabytes=options.quota_gigabytes),
        cross_az_attach=options.cross_az_attach,
        max_disks=options.max_disks,
        token_seconds=options.token_seconds,
    )


if __name__ == "__main__":
    main()
