"""The command line: `openstack-csi controller | node | version`.

A role's modules are imported only when that role runs: the node never loads openstacksdk or the Kubernetes client,
which are half of the controller's memory.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from openstack_csi import __version__, config
from openstack_csi.errors import InvalidArgument, unknown_key

_USAGE = """\
usage: openstack-csi <command> [flags]

commands:
  controller   CSI Identity and Controller, and the built-in provisioner and attacher
  node         CSI Identity and Node, on every node
  version      print the version

openstack-csi <command> --help lists the flags of a command."""

_REFUSED = 2
"""Exit code of a command line that cannot be followed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, by default the process's own, and return the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    name = words[0] if words else ""
    if name in ("", "-h", "--help", "help"):
        print(_USAGE, file=sys.stdout if name else sys.stderr)
        return 0 if name else _REFUSED
    try:
        if name not in _COMMANDS:
            raise unknown_key("command", name, _COMMANDS)
        return _COMMANDS[name](words[1:])
    except InvalidArgument as refusal:
        print(f"openstack-csi: {refusal}", file=sys.stderr)
        return _REFUSED


def _controller(words: Sequence[str]) -> int:
    told = config.read(config.ControllerConfig, words, os.environ)
    from openstack_csi.roles import controller

    return controller.run(told)


def _node(words: Sequence[str]) -> int:
    told = config.read(config.NodeConfig, words, os.environ)
    from openstack_csi.roles import node

    return node.run(told)


def _version(words: Sequence[str]) -> int:
    if words:
        raise InvalidArgument(f'"{words[0]}" is not expected here')
    print(f"openstack-csi {__version__}")
    return 0


_COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "controller": _controller,
    "node": _node,
    "version": _version,
}
