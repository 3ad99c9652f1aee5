"""The front program: `python -m tests.testbed --help`."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence

from . import builds, control_plane
from .bed import Bed
from .errors import BedError
from .layout import CHECKOUT

PASSED_ON = ("kube", "openstack", "run")  # everything behind these words is for another program


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says; returns the exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    bed = Bed()
    try:
        if words and words[0] in PASSED_ON:
            return PROGRAMS[words[0]](bed, words[1:])
        args = parser().parse_args(words)
        args.command(bed, args)
    except BedError as error:
        print(f"testbed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.testbed", description="A real Kubernetes and OpenStack.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[Bed, argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(command=command)
        return added

    starting = add("up", up, "start what does not run; install and build what it needs")
    starting.add_argument("--nodes", type=int, default=2, metavar="N", help="how many nodes (%(default)s)")
    starting.add_argument("--no-kubernetes", action="store_true")
    starting.add_argument("--no-openstack", action="store_true")
    ending = add("down", lambda bed, args: bed.down(purge=args.purge), "stop all of it")
    ending.add_argument("--purge", action="store_true", help="remove logs and data too")
    add("status", status, "what runs, since when, and where its log is")
    building = add("build", build, "install and build everything, side by side, and start nothing")
    building.add_argument("--no-image", action="store_true", help="without the driver's image")
    add("image", image, "build the driver's image and import it into the nodes")
    reading = add("logs", logs, "show a log; without a name, which there are")
    reading.add_argument("name", nargs="?")
    reading.add_argument("-f", "--follow", action="store_true")
    add("cache-clean", lambda bed, args: bed.cache_clean(), "remove what was installed and built")
    for name, text in (
        ("kube", "kubectl ARGS… as the admin"),
        ("run", "run COMMAND… where both are reached, with KUBECONFIG and OS_CLIENT_CONFIG_FILE"),
        ("openstack", "the OpenStack half's own program"),
    ):
        commands.add_parser(name, help=text, add_help=False)
    return parser


def up(bed: Bed, args: argparse.Namespace) -> None:
    bed.up(args.nodes, kubernetes=not args.no_kubernetes, openstack=not args.no_openstack)
    for name, value in bed.environment.items():
        print(f"{name}={value}")


def build(bed: Bed, args: argparse.Namespace) -> None:
    bed.prepare(image=not args.no_image)
    builds.csi_sanity(bed.layout, bed.progress)


def image(bed: Bed, args: argparse.Namespace) -> None:
    archive = bed.build_image()
    print(f"{archive.reference} is {archive.path}")


def status(bed: Bed, args: argparse.Namespace) -> None:
    running = bed.running()
    for each in running:
        since = time.strftime("%F %T", time.localtime(each.since))
        print(f"{each.name:26} pid {each.pid:<8} since {since}  {each.log}")
    if not running:
        print("nothing runs")
        return
    for name, value in bed.environment.items():
        print(f"{name}={value}")


def logs(bed: Bed, args: argparse.Namespace) -> None:
    state = bed.layout.state
    found = {path.stem: path for path in sorted([*bed.layout.logs.glob("*.log"), *bed.layout.openstack.rglob("*.log")])}
    if args.name is None:
        for name, path in found.items():
            print(f"{name:26} {path.stat().st_size:>10} bytes  {path}")
        return
    if args.name not in found:
        raise BedError(f"no log {args.name} in {state}; there are {', '.join(found) or 'none'}")
    following = ["-F"] if args.follow else []
    _exec(["tail", "--lines=+1", *following, str(found[args.name])])


def kube(bed: Bed, argv: Sequence[str]) -> int:
    return _exec(control_plane.kubectl(bed.layout, *argv))


def openstack(bed: Bed, argv: Sequence[str]) -> int:
    os.chdir(CHECKOUT)
    return _exec([sys.executable, "-m", "tests.testbed.openstack", *argv])


def run(bed: Bed, argv: Sequence[str]) -> int:
    return _exec(bed.enter(argv or [os.environ.get("SHELL", "/bin/sh")]), bed.environment)


def _exec(argv: Sequence[str], env: dict[str, str] | None = None) -> int:
    """Become another program."""
    sys.stdout.flush()
    os.execvpe(argv[0], list(argv), os.environ | (env or {}))


PROGRAMS: dict[str, Callable[[Bed, Sequence[str]], int]] = {"kube": kube, "openstack": openstack, "run": run}

if __name__ == "__main__":
    sys.exit(main())
