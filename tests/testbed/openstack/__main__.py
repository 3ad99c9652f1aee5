"""The bed's OpenStack from a shell: `python3 -m tests.testbed.openstack --help`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

from . import bed, check

STATE = Path(os.environ.get("OPENSTACK_CSI_STATE", "/run/openstack-csi-testbed")) / "openstack"
BEGAN = time.monotonic()


def say(line: str) -> None:
    """Print a line of progress, with the seconds since the program began."""
    print(f"{time.monotonic() - BEGAN:6.1f}s {line}", flush=True)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.testbed.openstack", description=__doc__)
    parser.add_argument("--state", type=Path, default=STATE, help="the folder of this bed (%(default)s)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("install", help="only install the services")
    up = commands.add_parser("up", help="start what is missing")
    up.add_argument("--listen", default="127.0.0.1", metavar="ADDRESS")
    up.add_argument("--netns", metavar="NAME", help="run in this network namespace")
    up.add_argument("--services", default="keystone,cinder,nova", help="of keystone,cinder,nova,manila (%(default)s)")
    up.add_argument("--zones", default="az1,az2", help="availability zones (%(default)s)")
    up.add_argument("--keep", action="store_true", help="go on with the cloud that the last start left")
    up.add_argument("--base-port", type=int, default=15000, metavar="PORT")
    up.add_argument("--max-disks", type=int, default=27, help="disks of a server, with its root disk (%(default)s)")
    up.add_argument("--debug", action="store_true", help="let the services log at DEBUG")
    commands.add_parser("down", help="stop everything; logs and data stay")
    commands.add_parser("status", help="what runs, as JSON")
    server = commands.add_parser("server", help="let there be a server; prints its id and its folder")
    server.add_argument("name")
    server.add_argument("zone")
    commands.add_parser("check", help="try what matters through plain HTTP")
    return parser.parse_args()


def up(args: argparse.Namespace) -> None:
    """Start the bed."""
    services = args.services.split(",")
    bed.packages_be_installed(bed.PACKAGES + (bed.MANILA_PACKAGES if "manila" in services else ()), say)
    bed.up(
        args.state,
        args.listen,
        args.netns,
        say,
        services=services,
        zones=args.zones.split(","),
        fresh=not args.keep,
        base_port=args.base_port,
        max_disks=args.max_disks,
        debug=args.debug,
    )
    say(f"OS_CLIENT_CONFIG_FILE={bed.clouds_yaml(args.state)} OS_CLOUD=demo")


def main() -> int:
    """Do what the command line says; return the exit status."""
    args = arguments()
    try:
        match args.command:
            case "install":
                bed.packages_be_installed(bed.PACKAGES, say)
                print(bed.install(say))
            case "up":
                up(args)
            case "down":
                bed.down(args.state)
            case "status":
                print(json.dumps(bed.status(args.state), indent=1))
            case "server":
                server = bed.ensure_server(args.state, args.name, args.zone)
                print(server.id, server.directory)
            case "check":
                return check.run(args.state)
    except bed.BedError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
