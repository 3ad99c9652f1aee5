"""Reads clouds.yaml, and says in one sentence what is wrong with it.

openstacksdk reads the file too, but forgives much and then fails far from the cause. So the file is looked at here
first: is it there, is it YAML, has it that cloud, has the cloud an `auth_url`. Everything else is left to the SDK,
which knows every kind of authentication.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from openstack.config import OpenStackConfig
from openstack.config.cloud_region import CloudRegion

from openstack_csi import __version__, errors


@dataclass(frozen=True)
class Fingerprint:
    """What a changed file is known by: a Secret's files are replaced by moving a link, which changes the inode."""

    inode: int
    mtime_ns: int
    size: int


def fingerprint(path: Path) -> Fingerprint | None:
    """The file's fingerprint; None where there is no file."""
    try:
        seen = path.stat()
    except OSError:
        return None
    return Fingerprint(seen.st_ino, seen.st_mtime_ns, seen.st_size)


def names(path: Path) -> list[str]:
    """The clouds of the file, in its order.

    Raises:
        InvalidArgument: the file is missing, is not YAML, or has no clouds.
    """
    try:
        text = path.read_text()
    except OSError as fault:
        raise errors.InvalidArgument(
            f"{path}: {fault.strerror}", hint="Mount the Secret with clouds.yaml there, or set OS_CLIENT_CONFIG_FILE."
        ) from None
    try:
        content: Any = yaml.safe_load(text)
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        # Not the fault's own text: it quotes the line, and the line may hold a password.
        raise errors.InvalidArgument(f"{path} is not YAML{where}", hint="Mend clouds.yaml in the Secret.") from None
    clouds = content.get("clouds") if isinstance(content, dict) else None
    if not isinstance(clouds, dict) or not clouds:
        raise errors.InvalidArgument(f'{path} has no "clouds"', hint='Its top-level key must be "clouds".')
    for name, cloud in clouds.items():
        if not isinstance(cloud, dict):
            raise errors.InvalidArgument(f'{path}: cloud "{name}" has no settings', hint="Mend clouds.yaml.")
    return [str(name) for name in clouds]


def choose(path: Path, wanted: str) -> str:
    """The name of the cloud to use: the wanted one, else the only one, else the one called `openstack`.

    Raises:
        InvalidArgument: there is no such cloud, or several and none is wanted.
    """
    known = names(path)
    if wanted:
        if wanted not in known:
            raise errors.unknown_key(f"cloud (of {path})", wanted, known)
        return wanted
    if len(known) == 1:
        return known[0]
    if "openstack" in known:
        return "openstack"
    raise errors.InvalidArgument(
        f"{path} has several clouds: {', '.join(known)}", hint="Name one by --cloud or OS_CLOUD."
    )


def region(path: Path, cloud: str, timeout: float) -> CloudRegion:
    """The SDK's settings of one cloud. `timeout` in seconds holds for every call.

    Raises:
        InvalidArgument: the settings are not usable.
    """
    if "profile" not in (settings := _settings(path, cloud)) and "auth_url" not in settings.get("auth", {}):
        raise errors.InvalidArgument(f'{path}: cloud "{cloud}" has no auth.auth_url', hint="Mend clouds.yaml.")
    try:
        config = OpenStackConfig(
            config_files=[str(path)],
            secure_files=[],
            load_envvars=False,
            app_name="openstack-csi",
            app_version=__version__,
        )
        return config.get_one(cloud=cloud, api_timeout=timeout)
    except Exception as fault:  # the SDK raises its own, yaml's and jsonschema's
        raise errors.InvalidArgument(
            f'{path}: cloud "{cloud}": {type(fault).__name__}: {fault}', hint="Mend clouds.yaml."
        ) from fault


def _settings(path: Path, cloud: str) -> dict[str, Any]:
    settings: dict[str, Any] = yaml.safe_load(path.read_text())["clouds"][cloud]
    return settings
