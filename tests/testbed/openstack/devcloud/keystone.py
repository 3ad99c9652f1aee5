"""Keystone in one process. Argument: the state folder of the bed."""

from __future__ import annotations

import os
import sys

from devcloud import serving
from devcloud.plan import PASSWORD, REGIONS, Plan


def first_time(plan: Plan) -> None:
    """Make the database, the keys, the administrator and the first region."""
    serving.in_child(manage, plan, "db_sync")
    serving.use_write_ahead_log(plan.database("keystone"))
    serving.in_child(manage, plan, "fernet_setup", "--keystone-user", "root", "--keystone-group", "root")
    serving.in_child(manage, plan, "credential_setup", "--keystone-user", "root", "--keystone-group", "root")
    urls = [f"--bootstrap-{interface}-url={plan.auth_url}" for interface in ("public", "internal")]
    region = ["--bootstrap-region-id", REGIONS[0]]
    serving.in_child(manage, plan, "bootstrap", "--bootstrap-password", PASSWORD, *region, *urls)
    serving.note("keystone is bootstrapped")


def manage(plan: Plan, *args: str) -> None:
    """Run `keystone-manage`."""
    from keystone.cmd import cli

    cli.main(argv=["keystone-manage", "--config-file", str(plan.config("keystone")), *args])


def main() -> None:
    """Serve until SIGTERM."""
    plan = serving.plan_of_arguments("keystone")
    # Keystone reads its own arguments from the environment when it runs below another server
    os.environ["OS_KEYSTONE_CONFIG_FILES"] = str(plan.config("keystone"))
    sys.argv = ["keystone"]
    from devcloud import sqlite
    from keystone.server import wsgi

    serving.note("keystone is imported")
    sqlite.begin_immediate()
    if not plan.database("keystone").exists():
        first_time(plan)
    serving.serve(plan, "keystone", wsgi.initialize_public_application())
    serving.run_until_signal(plan, "keystone")


if __name__ == "__main__":
    main()
