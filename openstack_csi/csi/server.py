"""A gRPC server on one socket, for any of the services that we speak.

Threads, not asyncio: the cloud's SDK blocks, and a blocked thread costs 0.04 MiB. 64 of them, because calls that wait
for the cloud hold their thread, and Probe must be answered meanwhile; else the kubelet would restart a healthy plugin.

Start: the socket is bound under a hidden name, given its permissions, and moved to its path once it is served. So a
successor takes the path over in one move, and the predecessor, which removes only what is its own, cannot take it away
again (gRPC left alone would: it removes the path that it bound, whoever stands there). The kubelet ignores hidden
names. Stop: no new call is taken, running ones get their grace, then they are cancelled.
"""

from __future__ import annotations

import secrets
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from openstack_csi.csi.pb import csi_pb2_grpc as csi
from openstack_csi.csi.pb import pluginregistration_pb2_grpc as registration
from openstack_csi.errors import FailedPrecondition, InvalidArgument

WORKERS = 64
SOCKET_MODE = 0o660  # sidecars run as another user of the same group

_LONGEST_PATH = 107  # bytes: Linux's sun_path, less its final zero

_OPTIONS = (
    ("grpc.so_reuseport", 0),  # a second server on the same port must fail, not take half of the calls
)

_ADD: tuple[tuple[type, Callable[[Any, grpc.Server], None]], ...] = (
    (csi.IdentityServicer, csi.add_IdentityServicer_to_server),
    (csi.ControllerServicer, csi.add_ControllerServicer_to_server),
    (csi.GroupControllerServicer, csi.add_GroupControllerServicer_to_server),
    (csi.SnapshotMetadataServicer, csi.add_SnapshotMetadataServicer_to_server),
    (csi.NodeServicer, csi.add_NodeServicer_to_server),
    (registration.RegistrationServicer, registration.add_RegistrationServicer_to_server),
)


class Server:
    """One endpoint with its services.

    Args:
        endpoint: `unix:///path`, `unix:/path`, `/path`, or `tcp://host:port` (port 0 takes a free one).
        servicers: instances of the generated `…Servicer` classes; one may be several of them.
        interceptors: wrapped around every call, the first outermost.
        workers: calls served at one time; more wait.
        socket_mode: permissions of a unix socket.

    Raises:
        InvalidArgument: the endpoint cannot be read as one of these.
    """

    def __init__(
        self,
        endpoint: str,
        *servicers: object,
        interceptors: Sequence[grpc.ServerInterceptor] = (),
        workers: int = WORKERS,
        socket_mode: int = SOCKET_MODE,
    ) -> None:
        self._endpoint = endpoint
        self._path, self.address = parse_endpoint(endpoint)
        self._mode = socket_mode
        self._inode: int | None = None
        self._server = grpc.server(
            ThreadPoolExecutor(workers, thread_name_prefix="rpc"), interceptors=list(interceptors), options=_OPTIONS
        )
        for servicer in servicers:
            _add(servicer, self._server)

    def start(self) -> None:
        """Take calls from now on, at `address`; returns at once.

        Raises:
            FailedPrecondition: the endpoint cannot be bound, or something that is not a socket stands in its place.
        """
        if self._path is None:
            self.address = f"{self.address.rpartition(':')[0]}:{self._bind(self.address)}"
            self._server.start()
            return
        _refuse_what_is_no_socket(self._path)
        hidden = self._path.with_name(f".{secrets.token_hex(4)}")
        self._bind(f"unix://{hidden}")
        hidden.chmod(self._mode)
        self._inode = _inode_of(hidden)
        self._server.start()
        hidden.replace(self._path)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait up to `timeout` seconds for the end; True once the server has stopped."""
        return not self._server.wait_for_termination(timeout)

    def stop(self, grace: float) -> None:
        """Refuse new calls, give running ones `grace` seconds, cancel the rest; returns when none is left."""
        if self._path and self._inode is not None and self._inode == _inode_of(self._path):
            self._path.unlink()
        self._server.stop(grace).wait()

    def _bind(self, address: str) -> int:
        try:
            return self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise FailedPrecondition(
                f"cannot listen on {self._endpoint}", hint="Does the directory exist, and may this user write there?"
            ) from error


def parse_endpoint(endpoint: str) -> tuple[Path | None, str]:
    """The socket's path (None for TCP) and gRPC's name of the address. Raises InvalidArgument."""
    if endpoint.startswith("tcp://"):
        return None, endpoint.removeprefix("tcp://")
    path = Path(endpoint.removeprefix("unix://").removeprefix("unix:"))
    if not path.is_absolute():
        raise InvalidArgument(
            f'endpoint "{endpoint}" is not understood', hint="Write unix:///absolute/path or tcp://host:port."
        )
    if len(bytes(path)) > _LONGEST_PATH:
        raise InvalidArgument(f'endpoint "{endpoint}": a socket\'s path has at most {_LONGEST_PATH} bytes')
    return path, f"unix://{path}"


def _refuse_what_is_no_socket(path: Path) -> None:
    """A socket in our place is a dead or leaving process's, and gives way; anything else is not ours to replace."""
    if path.is_symlink() or (path.exists() and not stat.S_ISSOCK(path.stat().st_mode)):
        raise FailedPrecondition(f"{path} is there and is not a socket", hint="Move it away, or choose another path.")


def _inode_of(path: Path) -> int | None:
    try:
        return path.lstat().st_ino
    except FileNotFoundError:
        return None


def _add(servicer: object, server: grpc.Server) -> None:
    adders = [add for kind, add in _ADD if isinstance(servicer, kind)]
    if not adders:
        raise TypeError(f"{type(servicer).__name__} is none of our services")
    for add in adders:
        add(servicer, server)
