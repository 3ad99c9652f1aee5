"""The fake cloud as one thing: three services, their state, faults and counts behind one port."""

from __future__ import annotations

import json
import logging
import time
from email.utils import formatdate
from pathlib import Path
from threading import RLock
from types import TracebackType
from typing import Any

import yaml

from .calls import Call, Calls
from .cinder import Cinder
from .clock import Clock
from .config import Config
from .control import Control
from .faults import Faults
from .keystone import APPLICATION_CREDENTIAL, Keystone
from .lifecycle import Lifecycle
from .model import Server, Volume
from .nova import Nova
from .server import Admission, HttpServer
from .service import Service
from .state import State
from .wire import ApiError, Reply, Request

log = logging.getLogger(__name__)


class FakeCloud:
    """Keystone, Cinder and Nova on one port of the loopback.

    `clock` drives everything that takes time in the cloud; latency and delays are real seconds. May be used as a
    context manager. All methods may be called from any thread.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        clock: Clock = time.monotonic,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.config = config or Config()
        self.state = State(self.config, clock)
        self.calls = Calls(self.config.log_size)
        self.url = ""
        self._clock = clock
        self._lock = RLock()
        self._lifecycle = Lifecycle(self.state)
        self.keystone = Keystone(self.state)
        self._services: dict[str, Service] = {
            "identity": self.keystone,
            "volume": Cinder(self.state, self._lifecycle, self.keystone),
            "compute": Nova(self.state, self._lifecycle, self.keystone),
        }
        self._control = Control(self)
        self._host = host
        self._server = HttpServer(self, host, port)

    def start(self) -> str:
        """Serve; returns the URL, below which /identity/v3 is the auth URL."""
        self.url = f"http://{self._host}:{self._server.start()}"
        self.keystone.base = self.url
        return self.url

    def stop(self) -> None:
        """End every connection and the server's thread."""
        self._server.stop()

    def __enter__(self) -> FakeCloud:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def faults(self) -> Faults:
        """The rules in force; `faults.add(CallFault(...))`, `faults.add(StateFault(...))`."""
        return self.state.faults

    def add_server(self, name: str, zone: str = "", project: str = "demo", status: str = "ACTIVE") -> Server:
        """A server that is simply there, with a root disk that is no volume."""
        zone = zone or self.config.default_zone
        if zone not in self.config.zones:
            raise ValueError(f"no such zone: {zone}; there are {', '.join(self.config.zones)}")
        with self._lock:
            owner = self.state.users[project]
            now = self.state.timeline.wall()
            number = self.state.new_number()
            server = Server(self.state.new_id(), number, owner.project, owner, name, zone, now, now, status)
            self.state.servers[server.id] = server
            return server

    def set_server_status(self, server_id: str, status: str) -> None:
        """Put a server into a status such as SHUTOFF or ERROR."""
        with self._lock:
            self._lifecycle.set_server(self.state.servers[server_id], status)

    def volume(self, id_or_name: str) -> Volume:
        """The volume as it is now. Raises KeyError."""
        for volume in self.volumes():
            if id_or_name in (volume.id, volume.name):
                return volume
        raise KeyError(id_or_name)

    def volumes(self) -> list[Volume]:
        """All volumes as they are now, oldest first."""
        with self._lock:
            self.state.timeline.settle()
            return list(self.state.volumes.values())

    def set_volume_status(self, volume_id: str, status: str) -> None:
        """Put a volume into a status, as an administrator can."""
        with self._lock:
            self.state.timeline.settle()
            self._lifecycle.set_status(self.state.volumes[volume_id], status)

    def clouds(self) -> dict[str, Any]:
        """What a clouds.yaml says of this cloud: demo, demo-two (the second region), demo-appcred, other, admin."""
        auth_url = self.keystone.auth_url
        regions = self.config.regions

        def by_password(user: str, region: str) -> dict[str, Any]:
            auth = {
                "auth_url": auth_url,
                "username": user,
                "password": self.config.password,
                "project_name": user,
                "user_domain_name": "Default",
                "project_domain_name": "Default",
            }
            return {"auth": auth, "region_name": region, "identity_api_version": 3}

        credential = {
            "auth_url": auth_url,
            "application_credential_id": APPLICATION_CREDENTIAL,
            "application_credential_secret": self.config.secret,
        }
        clouds: dict[str, Any] = {user: by_password(user, regions[0]) for user in self.state.users}
        clouds["demo-two"] = by_password("demo", regions[-1])
        clouds["demo-appcred"] = {
            "auth_type": "v3applicationcredential",
            "auth": credential,
            "region_name": regions[0],
        }
        return {"clouds": clouds}

    def write_clouds_yaml(self, path: Path) -> None:
        """Write `clouds()` for OS_CLIENT_CONFIG_FILE."""
        path.write_text(yaml.safe_dump(self.clouds(), sort_keys=False))

    def admit(self, request: Request) -> Admission:
        """Count a request and let the faults look at it; the HTTP server calls this."""
        service, _, rest = request.path.removeprefix("/").partition("/")
        if service == "fake" or service not in self._services:
            return Admission("")
        kind = self._services[service].kind(request, rest)
        wait = self.config.latencies.get(kind, self.config.latency)
        admission = Admission(kind, wait=wait, arrived=time.monotonic())
        with self._lock:
            self.calls.count(kind)
            self.faults.on_call(request, admission)
        return admission

    def answer(self, request: Request, admission: Admission) -> Reply | None:
        """A request's effect and answer, None for none; the HTTP server calls this when its wait is over."""
        with self._lock:
            self.state.timeline.settle()
            if not admission.kind:
                return self._outside(request)
            reply = admission.reply
            if reply is None and not admission.drop:
                service, _, rest = request.path.removeprefix("/").partition("/")
                reply = self._serve(self._services[service], request, rest)
            if admission.lose or admission.drop:
                reply = None
            if reply is not None:
                reply.headers = [*reply.headers, ("Date", formatdate(self.state.timeline.wall(), usegmt=True))]
            self._record(request, admission, reply)
            return reply

    def _serve(self, service: Service, request: Request, rest: str) -> Reply:
        try:
            return service.serve(request, rest, f"req-{self.state.new_id()}")
        except Exception:
            log.exception("a bug of the fake cloud", extra={"method": request.method, "path": request.path})
            return ApiError(500, "The fake cloud has a bug; see its log.").reply()

    def _outside(self, request: Request) -> Reply:
        service, _, rest = request.path.removeprefix("/").partition("/")
        if service == "fake":
            return self._control.serve(request, rest)
        return Reply(404, json.dumps({"error": "there are /identity, /volume, /compute and /fake"}))

    def _record(self, request: Request, admission: Admission, reply: Reply | None) -> None:
        self.calls.record(
            Call(
                admission.kind,
                request.method,
                request.path,
                request.query,
                0 if reply is None else reply.status,
                self._clock(),
                time.monotonic() - admission.arrived,
                admission.fault,
            )
        )
