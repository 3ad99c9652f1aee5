"""Manila in one process: API, scheduler, data and one share service per back end. Argument: the state folder."""

from __future__ import annotations

import sys
from typing import Any

from devcloud import serving
from devcloud.plan import Plan


def make_database() -> None:
    """Make the tables from the models, as Manila's own tests do, and record the newest revision; for a child process.

    Its migrations use two connections in one transaction, which on SQLite wait for each other for ever.
    """
    from manila import version
    from manila.db import migration
    from manila.db.sqlalchemy import api, models
    from oslo_config import cfg
    from oslo_log import log

    log.register_options(cfg.CONF)
    cfg.CONF(sys.argv[1:], project="manila", version=version.version_string())
    models.BASE.metadata.create_all(api.get_engine())
    migration.stamp("head")


def import_share_manager() -> None:
    """Import the share manager beside the API.

    Both register `keystone_authtoken.auth_url`, a little differently, which oslo.config refuses: in a real cloud they
    are processes of their own. The first registration stays.
    """
    from oslo_config import cfg

    registered = cfg._is_opt_registered

    def tolerant(opts: dict[str, Any], opt: Any) -> bool:
        try:
            return bool(registered(opts, opt))
        except cfg.DuplicateOptError:
            if opt.dest != "auth_url":
                raise
            return True

    cfg._is_opt_registered = tolerant
    import manila.share.manager  # noqa: F401

    cfg._is_opt_registered = registered


def share_services() -> list[Any]:
    """Make the share, scheduler and data services, not started yet."""
    from manila import service
    from oslo_config import cfg

    make = service.Service.create
    conf = cfg.CONF
    return [
        *(
            make(host=f"{conf.host}@{name}", service_name=name, binary="manila-share", coordination=True)
            for name in conf.enabled_share_backends
        ),
        make(binary="manila-scheduler", coordination=True),
        make(binary="manila-data", coordination=True),
    ]


def start(plan: Plan) -> list[Any]:
    """Start everything; return what has to be stopped."""
    # to be called before the rest of Manila is imported
    from manila import monkey_patch

    monkey_patch.patch()
    from devcloud import sqlite
    from manila.wsgi import wsgi

    serving.note("manila is imported")
    sqlite.begin_immediate()
    database = plan.database("manila")
    if not database.exists():
        serving.in_child(make_database)
        serving.use_write_ahead_log(database)
        serving.note("the database is made")
    app = wsgi.initialize_application()
    import_share_manager()
    serving.wait_for_identity(plan)
    services = share_services()
    for service in services:
        service.start()
        serving.note(f"{service.binary} {service.host} is started")
    serving.serve(plan, "manila", app)
    return services


if __name__ == "__main__":
    serving.run("manila", start)
