"""Keystone in one process. Argument: the state folder of the bed."""

from __future__ import annotations

import base64
import os
import sys
from typing import Any

from devcloud import serving
from devcloud.plan import PASSWORD, REGIONS, Plan


def make_keys(plan: Plan) -> None:
    """Make the keys of tokens and credentials, as `keystone-manage fernet_setup` would: 0 is the next, 1 in use."""
    for name in ("fernet", "credential"):
        folder = plan.config("keystone").parent / name
        folder.mkdir(mode=0o700)
        for number in ("0", "1"):
            (folder / number).write_bytes(base64.urlsafe_b64encode(os.urandom(32)))


def make_database(plan: Plan) -> None:
    """Make the tables, the administrator, and the first region with Keystone in it."""
    serving.in_child(manage, plan, "db_sync")
    serving.use_write_ahead_log(plan.database("keystone"))
    urls = [f"--bootstrap-{interface}-url={plan.auth_url}" for interface in ("public", "internal")]
    region = ["--bootstrap-region-id", REGIONS[0]]
    serving.in_child(manage, plan, "bootstrap", "--bootstrap-password", PASSWORD, *region, *urls)


def manage(plan: Plan, *args: str) -> None:
    """Run `keystone-manage`; for a child process."""
    from keystone.cmd import cli

    cli.main(argv=["keystone-manage", "--config-file", str(plan.config("keystone")), *args])


def start(plan: Plan) -> list[Any]:
    """Start everything; nothing has to be stopped."""
    # below a server that is not its own, Keystone finds its configuration by this
    os.environ["OS_KEYSTONE_CONFIG_FILES"] = str(plan.config("keystone"))
    sys.argv = ["keystone"]
    from devcloud import sqlite
    from keystone.server import wsgi

    serving.note("keystone is imported")
    sqlite.begin_immediate()
    if not plan.database("keystone").exists():
        make_keys(plan)
        make_database(plan)
        serving.note("the database is made")
    serving.serve(plan, "keystone", wsgi.initialize_public_application())
    return []


if __name__ == "__main__":
    serving.run("keystone", start)
