"""/fake/: how a benchmark in another process looks at the cloud and breaks it."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from .faults import from_json, to_json
from .model import Server
from .service import Handler, Route, Router
from .wire import Reply, Request

if TYPE_CHECKING:
    from .cloud import FakeCloud


class Control:
    """The control endpoints. They need no token, are not counted, and no fault strikes them."""

    def __init__(self, cloud: FakeCloud) -> None:
        self._cloud = cloud
        self._router = Router(
            [
                Route("GET", "calls", self._calls),
                Route("GET", "log", self._log),
                Route("POST", "reset-counts", self._reset),
                Route("GET", "faults", self._faults),
                Route("POST", "faults", self._add_fault),
                Route("DELETE", "faults", self._clear_faults),
                Route("DELETE", "faults/{id}", self._remove_fault),
                Route("GET", "state", self._state),
                Route("POST", "servers", self._add_server),
                Route("POST", "revoke-tokens", self._revoke),
            ]
        )

    def serve(self, request: Request, rest: str) -> Reply:
        found = self._router.find(request.method, rest.split("/"))
        if found is None:
            return Reply(404, {"error": f"no such control: {request.method} /fake/{rest}"})
        handler: Handler = found[0].handler
        try:
            return handler(request, *found[2])
        except (ValueError, KeyError, TypeError) as error:
            return Reply(400, {"error": str(error)})

    def _calls(self, _: Request) -> Reply:
        return Reply(200, {"calls": self._cloud.calls.counts, "total": self._cloud.calls.total()})

    def _log(self, _: Request) -> Reply:
        names = ("kind", "method", "path", "query", "status", "at", "seconds", "fault")
        return Reply(200, {"log": [{n: getattr(call, n) for n in names} for call in self._cloud.calls.log]})

    def _reset(self, _: Request) -> Reply:
        self._cloud.calls.reset()
        return Reply(204)

    def _faults(self, _: Request) -> Reply:
        return Reply(200, {"faults": {n: to_json(f) for n, f in self._cloud.faults.listing().items()}})

    def _add_fault(self, request: Request) -> Reply:
        return Reply(201, {"id": self._cloud.faults.add(from_json(json.loads(request.body)))})

    def _clear_faults(self, _: Request) -> Reply:
        self._cloud.faults.clear()
        return Reply(204)

    def _remove_fault(self, _: Request, number: str) -> Reply:
        self._cloud.faults.remove(int(number))
        return Reply(204)

    def _state(self, _: Request) -> Reply:
        """Every volume and server in short, and how many volumes are in which status."""
        state = self._cloud.state
        body: dict[str, Any] = {
            "statuses": Counter(v.status for v in state.volumes.values()),
            "volumes": [
                {
                    "id": v.id,
                    "name": v.name,
                    "status": v.status,
                    "size": v.size,
                    "zone": v.zone,
                    "type": v.type.name,
                    "project": v.project.name,
                    "metadata": v.metadata,
                    "servers": {a.server.id: a.status for a in v.attachments.values()},
                }
                for v in state.volumes.values()
            ],
            "servers": [_server(s) for s in state.servers.values()],
            "snapshots": [{"id": s.id, "name": s.name, "status": s.status} for s in state.snapshots.values()],
        }
        return Reply(200, body)

    def _add_server(self, request: Request) -> Reply:
        given = json.loads(request.body)
        return Reply(201, {"server": _server(self._cloud.add_server(**given))})

    def _revoke(self, _: Request) -> Reply:
        self._cloud.keystone.revoke_all()
        return Reply(204)


def _server(server: Server) -> dict[str, Any]:
    return {
        "id": server.id,
        "name": server.name,
        "zone": server.zone,
        "status": server.status,
        "volumes": {a.volume.id: a.device for a in server.attachments},
    }
