"""What the three services have in common: routes, tokens in front of them, microversions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from .model import User
from .wire import Reply, Request


@dataclass(slots=True)
class Context:
    """One request on its way through a service. `version` is the minor part of its microversion."""

    request: Request
    base: str
    """The cloud's URL, without a slash at the end."""
    request_id: str
    user: User
    version: int = 0
    project_in_path: bool = False
    params: dict[str, str] = field(default_factory=dict)

    @property
    def admin(self) -> bool:
        return self.user.admin


class Service(Protocol):
    """What the cloud asks of each of the three; `rest` is the path below the service's root."""

    def kind(self, request: Request, rest: str) -> str: ...

    def serve(self, request: Request, rest: str, request_id: str) -> Reply: ...


Handler = Callable[..., Reply]
"""Called with the context and the ids of the path."""


@dataclass(frozen=True, slots=True)
class Route:
    """A path below the service's root, its kind in the counts, and what serves it; `{id}` stands for any segment."""

    method: str
    pattern: str
    handler: Handler
    kind: str = ""

    def name(self) -> str:
        return f"{self.method} {self.kind or self.pattern}"


class Router:
    """Finds the route of a path. Of two that fit, the one that was named first is taken."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes: dict[tuple[str, int], list[tuple[list[str], Route, str]]] = {}
        for route in routes:
            segments = route.pattern.split("/")
            self._routes.setdefault((route.method, len(segments)), []).append((segments, route, route.name()))

    def find(self, method: str, segments: list[str]) -> tuple[Route, str, list[str]] | None:
        """The route, its kind, and the segments that `{id}` stood for."""
        for pattern, route, name in self._routes.get((method, len(segments)), ()):
            ids = []
            for wanted, given in zip(pattern, segments, strict=True):
                if wanted == "{id}":
                    ids.append(given)
                elif wanted != given:
                    break
            else:
                return route, name, ids
        return None


def minor(text: str, major: int) -> int | None:
    """The minor part of "3.70", where its major part is `major`; None for another major part.

    Raises ValueError for what is no version.
    """
    first, dot, second = text.partition(".")
    if not (dot and first.isdecimal() and second.isdecimal()):
        raise ValueError(f"API Version String {text} is of invalid format. Must be of format MajorNum.MinorNum.")
    return int(second) if int(first) == major else None
