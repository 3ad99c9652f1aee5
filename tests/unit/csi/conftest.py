"""A real server on a real unix socket, with a real channel to it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest

from openstack_csi.csi.interceptor import Interceptor
from openstack_csi.csi.server import Server

Serve = Callable[..., grpc.Channel]


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory with a name so short that a socket in it can be bound (at most 107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="csi") as path:
        yield Path(path)


@pytest.fixture
def serve(directory: Path) -> Iterator[Serve]:
    """Start the servicers behind an interceptor; stopped at the end of the test."""
    with ExitStack() as ends:

        def start(*servicers: object, interceptor: Interceptor | None = None) -> grpc.Channel:
            server = Server(f"unix://{directory}/csi.sock", *servicers, interceptors=[interceptor or Interceptor()])
            server.start()
            ends.callback(server.stop, 0)
            return ends.enter_context(grpc.insecure_channel(server.address))

        yield start
