"""What the cloud holds from the start: projects, users, the catalog, types, zones, a flavor, and its clouds.yaml.

Each function can be run again on a cloud that has some or all of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import api
from .devcloud.plan import PASSWORD, REGIONS, Plan

CREDENTIAL = "csi"
SECRET = "devcloud-app-secret"
PROJECTS = ("demo", "other")
"""Projects with a user of the same name each."""
FLAVOR = "node"


def identity(plan: Plan) -> None:
    """Set Keystone up, and write clouds.yaml."""
    admin = api.log_in(plan.auth_url, "admin", "admin")
    roles = {role["name"]: role["id"] for role in admin.get("identity", "/roles")["roles"]}
    roles["service"] = _be_made(admin, "role", "service")
    service = _be_made(admin, "project", "service", domain_id="default")
    users = [(user, service, ("admin", "service")) for user in ("cinder", "manila", "nova", "placement")]
    for name in PROJECTS:
        users.append((name, _be_made(admin, "project", name, domain_id="default"), ("member", "reader")))
    for name, project, its_roles in users:
        user = _be_made(admin, "user", name, domain_id="default", password=PASSWORD, default_project_id=project)
        for role in its_roles:
            admin.call("PUT", "identity", f"/projects/{project}/users/{user}/roles/{roles[role]}")
    _catalog(plan, admin)
    plan.clouds.write_text(_clouds(plan, _application_credential(plan)))


def volumes(plan: Plan) -> None:
    """Make the volume types: one per zone, and those that tests need."""
    admin = api.log_in(plan.auth_url, "admin", "admin")
    types: dict[str, dict[str, str]] = {"standard": {}}
    types |= {zone: {"volume_backend_name": zone} for zone in plan.zones}
    types["slow"] = {"volume_backend_name": f"{plan.zones[0]}slow"}
    types["shared"] = {"multiattach": "<is> True"}
    types["nowhere"] = {"volume_backend_name": "nowhere"}
    for name, specs in types.items():
        body = {"volume_type": {"name": name, "extra_specs": specs}}
        _post_once(admin, "block-storage", "/types", body)


def compute(plan: Plan) -> None:
    """Make the flavor, and an availability zone of each compute host."""
    admin = api.log_in(plan.auth_url, "admin", "admin")
    flavor = {"id": "1", "name": FLAVOR, "ram": 512, "vcpus": 1, "disk": 0}
    _post_once(admin, "compute", "/flavors", {"flavor": flavor})
    for zone in plan.zones:
        body = {"aggregate": {"name": zone, "availability_zone": zone}}
        if _post_once(admin, "compute", "/os-aggregates", body):
            found = admin.get("compute", "/os-aggregates")["aggregates"]
            ident = next(one["id"] for one in found if one["name"] == zone)
            host = {"add_host": {"host": f"compute-{zone}"}}
            _post_once(admin, "compute", f"/os-aggregates/{ident}/action", host)


def shares(plan: Plan) -> None:
    """Make the share types: one per back end, and a replicated one."""
    admin = api.log_in(plan.auth_url, "admin", "admin")
    common = {
        "driver_handles_share_servers": "False",
        "snapshot_support": "True",
        "create_share_from_snapshot_support": "True",
    }
    types = {
        name: common | {"share_backend_name": name, "revert_to_snapshot_support": "True"} for name in ("dir", "dummy")
    }
    types["replicated"] = common | {"replication_type": "readable"}
    for name, specs in types.items():
        body = {"share_type": {"name": name, "share_type_access:is_public": True, "extra_specs": specs}}
        _post_once(admin, "shared-file-system", "/types", body)


def _post_once(session: api.Session, service: str, path: str, body: dict[str, Any]) -> bool:
    """Make something unless it is there; return whether it was made now."""
    try:
        session.post(service, path, body)
    except api.ApiError as error:
        if error.status != 409:
            raise
        return False
    return True


def _be_made(admin: api.Session, kind: str, name: str, **fields: str) -> str:
    """Make a thing of Keystone with this name unless it is there; return its id."""
    try:
        made = admin.post("identity", f"/{kind}s", {kind: {"name": name, **fields}})[kind]
    except api.ApiError as error:
        if error.status != 409:
            raise
        made = admin.get("identity", f"/{kind}s?name={name}")[f"{kind}s"][0]
    return str(made["id"])


def _catalog(plan: Plan, admin: api.Session) -> None:
    """Name every service in every region; Keystone itself would take the same endpoint twice."""
    for region in REGIONS:
        _post_once(admin, "identity", "/regions", {"region": {"id": region}})
    services = {one["type"]: one["id"] for one in admin.get("identity", "/services")["services"]}
    there = {
        (one["service_id"], one["region_id"], one["interface"])
        for one in admin.get("identity", "/endpoints")["endpoints"]
    }
    for kind, url in _endpoints(plan).items():
        if kind not in services:
            body = {"service": {"name": kind, "type": kind}}
            services[kind] = admin.post("identity", "/services", body)["service"]["id"]
        for region in REGIONS:
            for interface in ("public", "internal"):
                endpoint = {"service_id": services[kind], "region_id": region, "interface": interface}
                if tuple(endpoint.values()) not in there:
                    admin.post("identity", "/endpoints", {"endpoint": {**endpoint, "url": url}})


def _endpoints(plan: Plan) -> dict[str, str]:
    urls = {
        "identity": plan.auth_url,
        "block-storage": plan.url("cinder", "/v3"),
        # the older name, by which some clients still ask
        "volumev3": plan.url("cinder", "/v3/$(project_id)s"),
        "compute": plan.url("nova", "/v2.1"),
        "placement": plan.url("placement"),
    }
    if "manila" in plan.services:
        urls |= {"shared-file-system": plan.url("manila", "/v2"), "sharev2": plan.url("manila", "/v2")}
    return urls


def _application_credential(plan: Plan) -> str:
    """Make the demo user's application credential unless it is there; return its id."""
    demo = api.log_in(plan.auth_url, "demo", "demo")
    path = f"/users/{demo.user_id}/application_credentials"
    body = {"application_credential": {"name": CREDENTIAL, "secret": SECRET, "unrestricted": False}}
    _post_once(demo, "identity", path, body)
    found = demo.get("identity", f"{path}?name={CREDENTIAL}")["application_credentials"]
    return str(found[0]["id"])


PASSWORD_CLOUD = """\
  {name}:
    auth:
      auth_url: "{auth_url}"
      username: {user}
      password: {password}
      project_name: {user}
      user_domain_name: Default
      project_domain_name: Default
    region_name: {region}
    identity_api_version: 3
"""
CREDENTIAL_CLOUD = """\
  demo-appcred:
    auth_type: v3applicationcredential
    auth:
      auth_url: "{auth_url}"
      application_credential_id: "{credential}"
      application_credential_secret: "{secret}"
    region_name: {region}
    identity_api_version: 3
"""


def _clouds(plan: Plan, credential: str) -> str:
    """The text of clouds.yaml."""
    first, second = REGIONS
    blocks = [
        PASSWORD_CLOUD.format(name=name, user=user, region=region, auth_url=plan.auth_url, password=PASSWORD)
        for name, user, region in (
            ("admin", "admin", first),
            ("demo", "demo", first),
            ("other", "other", first),
            ("demo-two", "demo", second),
        )
    ]
    blocks.append(CREDENTIAL_CLOUD.format(auth_url=plan.auth_url, credential=credential, secret=SECRET, region=first))
    return "clouds:\n" + "".join(blocks)


def application_credential(clouds: Path) -> tuple[str, str]:
    """Read the id and secret of the application credential from the bed's own clouds.yaml."""
    values = dict(
        line.strip().split(": ", 1) for line in clouds.read_text().splitlines() if "application_credential_" in line
    )
    return (
        values["application_credential_id"].strip('"'),
        values["application_credential_secret"].strip('"'),
    )
