"""What every service process shares: one process, native threads, the API and all workers of one service.

Inside one process the in-memory transport of oslo.messaging (fake://) is enough, so that no broker is needed.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from wsgiref.types import WSGIApplication

import waitress.server
from devcloud.plan import Plan

STARTED = time.monotonic()


def note(message: str) -> None:
    """Say on stderr how far the start is."""
    print(f"devcloud {time.monotonic() - STARTED:6.2f}s {message}", file=sys.stderr, flush=True)


def in_child(function: Callable[..., None], *args: object) -> None:
    """Run a function in a forked child: it has the imports already, and its global state ends with it.

    Raises:
        RuntimeError: the function failed; its traceback is on stderr.
    """
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            function(*args)
            status = 0
        except SystemExit as ended:
            status = 0 if ended.code in (None, 0) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError(f"{function.__name__} failed")


def use_write_ahead_log(database: Path) -> None:
    """Let readers of an SQLite file go on beside its writer; the file remembers."""
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.close()


def wait_for_identity(plan: Plan, seconds: float = 120) -> None:
    """Wait until Keystone knows the services' users and the catalog."""
    end = time.monotonic() + seconds
    while not plan.filled("keystone").exists():
        if time.monotonic() > end:
            raise TimeoutError(f"Keystone was not set up within {seconds:.0f} s")
        time.sleep(0.05)


def serve(plan: Plan, service: str, app: WSGIApplication, threads: int = 8) -> None:
    """Answer HTTP with this application from background threads."""
    server = waitress.server.create_server(
        app,
        host=plan.listen,
        port=plan.port(service),
        threads=threads,
        ident=None,
        channel_timeout=300,
        connection_limit=500,
        backlog=512,
    )
    threading.Thread(target=server.run, daemon=True, name=f"wsgi-{service}").start()
    note(f"{service} listens on {plan.listen}:{plan.port(service)}")


def run(service: str, start: Callable[[Plan], Iterable[Any]]) -> None:
    """Be the process of a service: start it, wait for SIGTERM, stop what was started, and end.

    The command line names the state folder of the bed. What does not stop within a second is left: the process ends,
    and a later start begins from the database.
    """
    plan = Plan.load(Path(sys.argv[1]))
    # as the service expects it
    sys.argv = [service, "--config-file", str(plan.config(service))]
    try:
        started = list(start(plan))
    except BaseException:
        traceback.print_exc()
        # threads that were started already would keep the process alive
        os._exit(1)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    # the services turn warnings on again when they are imported; these would be most of the log
    warnings.simplefilter("ignore")
    plan.ready(service).touch()
    note(f"{service} is ready")
    while not ended.wait(3600):
        pass
    note(f"{service} stops")
    stopper = threading.Thread(target=lambda: [one.stop() for one in started], daemon=True)
    stopper.start()
    stopper.join(1)
    os._exit(0)
