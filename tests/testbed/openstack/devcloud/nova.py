"""Nova (API, metadata, conductor, scheduler, a compute host per zone) and Placement in one process.

Argument: the state folder of the bed.
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import Any

from devcloud import neutron, serving
from devcloud.plan import Plan

CELL = "c0ffee00-0000-4000-8000-000000000001"


def make_databases(plan: Plan) -> None:
    """Run Nova's own migrations and record the cells, as `nova-manage cell_v2` would; for a child process."""
    import nova.conf
    from nova import config, context, objects
    from nova.db import migration

    config.parse_args(sys.argv)
    objects.register_all()
    migration.db_sync(database="api")
    cell0 = f"sqlite:///{plan.database('nova_cell0')}?timeout=60"
    for uuid, name, transport, connection in (
        (objects.CellMapping.CELL0_UUID, "cell0", "none:///", cell0),
        (CELL, "cell1", "fake://", nova.conf.CONF.database.connection),
    ):
        objects.CellMapping(
            context.get_admin_context(),
            uuid=uuid,
            name=name,
            transport_url=transport,
            database_connection=connection,
        ).create()
    migration.db_sync(database="main")
    shutil.copy(plan.database("nova"), plan.database("nova_cell0"))


def use_loop_driver() -> None:
    """Put the driver where Nova looks for drivers: below `nova.virt`, and nowhere else."""
    import nova.virt
    from devcloud.drivers import novaloop

    sys.modules["nova.virt.devcloud"] = nova.virt.devcloud = novaloop


def every_compute_is_local(hosts: list[str]) -> None:
    """Let Nova's volume code find that any of this process's compute hosts is here.

    It compares an instance's host with `CONF.host`, the one compute host that it expects in a process, and would
    leave the device where it is when they differ.
    """
    import nova.virt.block_device

    conf = nova.virt.block_device.CONF

    class AnyOf(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return other in hosts or str.__eq__(self, other)

        __hash__ = str.__hash__

    class Conf:
        host = AnyOf(conf.host)

        def __getattr__(self, name: str) -> Any:
            return getattr(conf, name)

    nova.virt.block_device.CONF = Conf()


def serve_placement(plan: Plan) -> None:
    """Start Placement, which makes its database itself."""
    import placement.wsgi

    app = placement.wsgi.init_application()
    serving.use_write_ahead_log(plan.database("placement"))
    serving.serve(plan, "placement", app, threads=4)


def compute_services(hosts: list[str]) -> list[Any]:
    """Make conductor, scheduler and computes, not started yet."""
    from nova import service
    from nova.compute import rpcapi as compute
    from nova.conductor import rpcapi as conductor
    from nova.scheduler import rpcapi as scheduler

    make = service.Service.create
    return [
        make(binary="nova-conductor", topic=conductor.RPC_TOPIC),
        make(binary="nova-scheduler", topic=scheduler.RPC_TOPIC),
        *(
            make(host=host, binary="nova-compute", topic=compute.RPC_TOPIC, topic_alt=compute.RPC_TOPIC_ALT)
            for host in hosts
        ),
    ]


def start(plan: Plan) -> list[Any]:
    """Start everything; return what has to be stopped."""
    os.environ["OS_NOVA_CONFIG_DIR"] = os.environ["OS_PLACEMENT_CONFIG_DIR"] = str(plan.config("nova").parent)
    # to be called before the rest of Nova is imported
    from nova import monkey_patch

    monkey_patch.patch(backend="threading")
    import os_brick
    from devcloud import sqlite
    from nova import context
    from nova.api.openstack import wsgi_app
    from nova.objects import host_mapping
    from oslo_config import cfg
    from oslo_db import options as _registers_options_before_the_configuration_is_read  # noqa: F401

    serving.note("nova is imported")
    sqlite.begin_immediate()
    if not plan.database("nova").exists():
        serving.in_child(make_databases, plan)
        for name in ("nova", "nova_cell0", "nova_api"):
            serving.use_write_ahead_log(plan.database(name))
        serving.note("the databases are made")
    serve_placement(plan)
    serving.serve(plan, "neutron", neutron.app, threads=2)
    app = wsgi_app.init_application("osapi_compute", "nova-api")
    os_brick.setup(cfg.CONF)
    use_loop_driver()
    hosts = [f"compute-{zone}" for zone in plan.zones]
    every_compute_is_local(hosts)
    # even the making of a service logs in, to reach Placement
    serving.wait_for_identity(plan)
    services = compute_services(hosts)
    serving.serve(plan, "nova", app)
    serving.serve(plan, "metadata", wsgi_app.init_application("metadata", "nova-api-metadata"), threads=2)
    for service in services:
        service.start()
        serving.note(f"{service.binary} {service.host} is started")
    host_mapping.discover_hosts(context.get_admin_context())
    return services


if __name__ == "__main__":
    serving.run("nova", start)
