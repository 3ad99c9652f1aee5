"""Cinder in one process: API, scheduler, and one volume service per back end. Argument: the state folder."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

from devcloud import serving
from devcloud.plan import Plan


def make_database() -> None:
    """Run Cinder's own migrations; for a child process."""
    from cinder import objects, version
    from cinder.db import migration
    from oslo_config import cfg

    objects.register_all()
    cfg.CONF(sys.argv[1:], project="cinder", version=version.version_string())
    migration.db_sync()


def need_no_helper() -> None:
    """Run what wants privileges in this process, which is root's already, instead of in a daemon under sudo."""
    import cinder.privsep
    from os_brick.privileged import default

    default.set_client_mode(False)
    cinder.privsep.sys_admin_pctxt.set_client_mode(False)


def volume_services() -> list[Any]:
    """Make the scheduler and the volume services, not started yet."""
    import cinder.cmd.volume
    from cinder import service
    from oslo_config import cfg

    class Service(service.Service):
        """Keeps its own record alive.

        Cinder holds the id of the record in an attribute of the class, as if a process had one service; the last one
        started would report for all, and the others would be taken for dead.
        """

        lock = threading.Lock()

        def report_state(self) -> None:
            with self.lock:
                service.Service.service_id = self.origin_service_id
                super().report_state()

    conf = cfg.CONF
    services = []
    for backend in conf.enabled_backends:
        conf.register_opt(cinder.cmd.volume.host_opt, group=backend)
        host = f"{conf.host}@{backend}"
        services.append(Service.create(host=host, service_name=backend, binary="cinder-volume", coordination=True))
    services.append(Service.create(binary="cinder-scheduler"))
    return services


def start(plan: Plan) -> list[Any]:
    """Start everything; return what has to be stopped."""
    os.environ["OS_CINDER_DISABLE_EVENTLET_PATCHING"] = "1"
    # to be called before the rest of Cinder is imported
    from cinder import monkey_patch

    monkey_patch.patch()
    import cinder.cmd.volume as _registers_options_before_the_configuration_is_read  # noqa: F401
    import os_brick
    from cinder.wsgi import wsgi
    from devcloud import sqlite
    from oslo_config import cfg

    serving.note("cinder is imported")
    sqlite.begin_immediate()
    database = plan.database("cinder")
    if not database.exists():
        serving.in_child(make_database)
        serving.use_write_ahead_log(database)
        serving.note("the database is made")
    app = wsgi.initialize_application()
    os_brick.setup(cfg.CONF)
    need_no_helper()
    services = volume_services()
    for service in services:
        service.start()
        serving.note(f"{service.binary} {service.host} is started")
    serving.serve(plan, "cinder", app)
    return services


if __name__ == "__main__":
    serving.run("cinder", start)
