"""What each service is told: its configuration file, from the plan of the bed.

Intervals are short where a test would wait for them, and long or off where they would only cost CPU time.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from .devcloud.plan import PASSWORD, REGIONS, Plan

Sections = dict[str, dict[str, object]]

FILE_VOLUME = "devcloud.drivers.filevolume.FileVolumeDriver"
DIR_SHARE = "devcloud.drivers.dirshare.DirShareDriver"


def write(plan: Plan, environment: Path) -> None:
    """Write the configuration files of all services, and make the folders that they name.

    Args:
        plan: the bed.
        environment: the virtual environment of the services, which holds the files that they ship.
    """
    for folder in ("etc", "db", "logs", "run", "nodes", "inject", "ganesha"):
        (plan.state / folder).mkdir(parents=True, exist_ok=True)
    for service in ("cinder", "manila", "nova"):
        (plan.state / "work" / service / "lock").mkdir(parents=True, exist_ok=True)
    # Nova looks for it beside its configuration and nowhere else
    shutil.copy(environment / "etc/nova/api-paste.ini", plan.config("nova").parent)
    for service, sections in (
        ("keystone", keystone(plan)),
        ("cinder", cinder(plan, environment)),
        ("nova", nova(plan)),
        ("placement", placement(plan)),
        ("manila", manila(plan, environment)),
    ):
        plan.config(service).write_text(ini(sections))


def ini(sections: Mapping[str, Mapping[str, object]]) -> str:
    """Write sections as oslo.config reads them."""
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())
        for name, values in sections.items()
    )


def keystone(plan: Plan) -> Sections:
    """Return Keystone's configuration."""
    return {
        "DEFAULT": {"debug": plan.debug},
        "token": {"provider": "fernet", "expiration": 86400},
        "fernet_tokens": {"key_repository": plan.state / "etc/fernet"},
        "credential": {"key_repository": plan.state / "etc/credential"},
        "cache": {"enabled": True, "backend": "oslo_cache.dict"},
        # a log-in costs a hash; the passwords here are no secrets
        "identity": {"password_hash_rounds": 4},
        "database": _database(plan, "keystone"),
    }


def cinder(plan: Plan, environment: Path) -> Sections:
    """Return Cinder's configuration: one back end per zone, and a second one in the first zone."""
    first = plan.zones[0]
    backends = {zone: zone for zone in plan.zones} | {f"{first}slow": first}
    own = {
        "api_paste_config": environment / "etc/cinder/api-paste.ini",
        "resource_query_filters_file": environment / "etc/cinder/resource_filters.json",
        "auth_strategy": "keystone",
        "enabled_backends": ",".join(backends),
        "default_volume_type": "standard",
        "storage_availability_zone": first,
        "default_availability_zone": first,
        "allow_availability_zone_fallback": False,
        # the scheduler waits this long for the back ends before it takes requests
        "scheduler_driver_init_wait_time": 2,
        # a failure of a back end shows at once, not after two more attempts
        "scheduler_max_attempts": 1,
        "backend_stats_polling_interval": 10,
        "periodic_interval": 10,
        "periodic_fuzzy_delay": 0,
        "quota_volumes": 500,
        "quota_snapshots": 500,
        "quota_gigabytes": 5000,
    }
    sections: Sections = {
        "DEFAULT": _common(plan, "cinder") | own,
        "nova": {"interface": "internal", "token_auth_url": plan.auth_url} | _credentials(plan, "cinder"),
        "database": _database(plan, "cinder"),
    }
    for name, zone in backends.items():
        sections[name] = {
            "volume_driver": FILE_VOLUME,
            "volume_backend_name": name,
            "backend_availability_zone": zone,
            "filevolume_dir": plan.state / "volumes" / name,
            "filevolume_inject_dir": plan.inject,
        }
    return sections | _tail(plan, "cinder")


def nova(plan: Plan) -> Sections:
    """Return Nova's configuration, for all its parts."""
    credentials = _credentials(plan, "nova")
    own = {
        "compute_driver": "devcloud.LoopDriver",
        "instances_path": plan.state / "work/nova/instances",
        "resume_guests_state_on_host_boot": True,
        "heal_instance_info_cache_interval": -1,
        "sync_power_state_interval": -1,
        "default_schedule_zone": plan.zones[0],
        "block_device_allocate_retries_interval": 1,
    }
    sections: Sections = {
        "DEFAULT": _common(plan, "nova") | own,
        "api": {"auth_strategy": "keystone"},
        "quota": {"instances": -1, "cores": -1, "ram": -1},
        "compute": {"max_disk_devices_to_attach": plan.max_disks},
        "filter_scheduler": {"enabled_filters": "ComputeFilter,ComputeCapabilitiesFilter"},
        "cinder": {"catalog_info": "block-storage::internalURL", "cross_az_attach": False} | credentials,
        "placement": {"valid_interfaces": "internal"} | credentials,
        # only to write links to images; nothing has to answer there
        "glance": {"endpoint_override": plan.url("glance")},
        "neutron": {
            "endpoint_override": plan.url("neutron"),
            "service_metadata_proxy": True,
            "metadata_proxy_shared_secret": PASSWORD,
        }
        | credentials,
        "devcloud": {"nodes_dir": plan.nodes, "inject_dir": plan.inject},
        "database": _database(plan, "nova"),
        "api_database": _database(plan, "nova_api"),
    }
    return sections | _tail(plan, "nova")


def placement(plan: Plan) -> Sections:
    """Return Placement's configuration."""
    database = _database(plan, "placement") | {"sync_on_startup": True}
    sections: Sections = {"api": {"auth_strategy": "keystone"}, "placement_database": database}
    return sections | _tokens(plan, "placement")


def manila(plan: Plan, environment: Path) -> Sections:
    """Return Manila's configuration: shares that hold data, and Manila's own dummies for all other features."""
    own = {
        "api_paste_config": environment / "etc/manila/api-paste.ini",
        "auth_strategy": "keystone",
        "enabled_share_backends": "dir,dummy",
        "enabled_share_protocols": "NFS,CIFS,CEPHFS",
        "default_share_type": "dir",
        "storage_availability_zone": plan.zones[0],
        # also how often shares in creating_from_snapshot are looked at
        "periodic_interval": 2,
        "periodic_fuzzy_delay": 0,
    }
    sections: Sections = {
        "DEFAULT": _common(plan, "manila") | own,
        "database": _database(plan, "manila"),
        "dir": {
            "share_driver": DIR_SHARE,
            "driver_handles_share_servers": False,
            "share_backend_name": "dir",
            "dirshare_dir": plan.state / "shares",
            "dirshare_inject_dir": plan.inject,
            "dirshare_host": plan.listen,
            "dirshare_exports": plan.state / "ganesha/exports.conf",
            "dirshare_ganesha_pid": plan.pid("ganesha"),
        },
        "dummy": {
            "share_driver": "manila.tests.share.drivers.dummy.DummyDriver",
            "driver_handles_share_servers": False,
            "share_backend_name": "dummy",
            "replication_domain": "dummy",
            "dummy_driver_default_driver_method_delay": 0,
            "dummy_driver_driver_methods_delays": "get_pool:0",
        },
    }
    return sections | _tail(plan, "manila")


def _common(plan: Plan, service: str) -> dict[str, object]:
    return {
        "debug": plan.debug,
        "host": "devcloud",
        "my_ip": plan.listen,
        "transport_url": "fake://",
        "state_path": plan.state / "work" / service,
        "rpc_response_timeout": 60,
        "report_interval": 10,
        "service_down_time": 60,
    }


def _tail(plan: Plan, service: str) -> Sections:
    sections: Sections = {
        "oslo_concurrency": {"lock_path": plan.state / "work" / service / "lock"},
        "oslo_messaging_notifications": {"driver": "noop"},
    }
    return sections | _tokens(plan, service)


def _tokens(plan: Plan, service: str) -> Sections:
    """How the service checks the tokens that it is shown, and shows its own beside a user's."""
    checking = {
        "www_authenticate_uri": plan.auth_url,
        "service_token_roles": "service",
        "service_token_roles_required": True,
        "token_cache_time": 300,
    }
    credentials = _credentials(plan, service)
    return {
        "keystone_authtoken": checking | credentials,
        "service_user": {"send_service_user_token": True} | credentials,
    }


def _credentials(plan: Plan, user: str) -> dict[str, object]:
    return {
        "auth_url": plan.auth_url,
        "auth_type": "password",
        "username": user,
        "password": PASSWORD,
        "project_name": "service",
        "user_domain_name": "Default",
        "project_domain_name": "Default",
        "region_name": REGIONS[0],
    }


def _database(plan: Plan, name: str) -> dict[str, object]:
    """The `timeout` (seconds) is how long a writer waits for another; a crash may lose the last writes."""
    return {"connection": f"sqlite:///{plan.database(name)}?timeout=60", "sqlite_synchronous": False}
