"""Let oslo.db's writers take SQLite's write lock when their transaction begins.

oslo.db emits a deferred BEGIN. A transaction that reads first and writes later then fails at once with "database is
locked" when another one wrote in between: the busy timeout does not apply to that case. With BEGIN IMMEDIATE a writer
waits for the lock, as long as the `timeout` of the connection's URL says.

A writer opened inside another writer of the same thread (Manila does so when it reserves quota while it deletes)
would wait for itself: it joins the outer transaction instead.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import sqlalchemy
from oslo_db.sqlalchemy import enginefacade

_WRITER = enginefacade._WRITER
_thread = threading.local()


def begin_immediate() -> None:
    """Patch oslo.db in this process."""
    _track("_session")
    _track("_connection")
    sqlalchemy.event.listen(sqlalchemy.engine.Engine, "before_cursor_execute", _rewrite_begin, retval=True)


def _open() -> list[Any]:
    """This thread's open transaction contexts, the innermost last."""
    return _thread.__dict__.setdefault("open", [])


def _outer_writer(context: Any) -> Any | None:
    """The writer of the same database that this new writer is opened in."""
    if context.mode is not _WRITER or context.session is not None or context.connection is not None:
        return None
    for other in reversed(_open()):
        same_database = other is not context and other.factory is context.factory
        if same_database and other.mode is _WRITER and other.session is not None:
            return other
    return None


def _track(name: str) -> None:
    """Wrap one of the two context managers of oslo.db's transaction context."""
    original = getattr(enginefacade._TransactionContext, name)

    @contextlib.contextmanager
    def tracked(self: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        outer = _outer_writer(self)
        if outer is not None:
            self.session = outer.session
        _open().append(self)
        try:
            with original(self, *args, **kwargs) as result:
                yield result
        finally:
            _open().pop()
            if outer is not None:
                self.session = None

    setattr(enginefacade._TransactionContext, name, tracked)


def _rewrite_begin(
    _connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool
) -> tuple[str, Any]:
    if statement == "BEGIN" and _open() and _open()[-1].mode is _WRITER:
        statement = "BEGIN IMMEDIATE"
    return statement, parameters
