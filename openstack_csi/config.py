"""The flags of each role, as frozen dataclasses: what the process was told, checked before anything starts.

A field *is* a flag: `leader_election` is `--leader-election` and the environment variable
`OPENSTACK_CSI_LEADER_ELECTION`; the flag wins. The field's `parse` turns text into the value, and a text that it
refuses becomes one line that names the flag (or the variable). Reading is pure: the command line and the environment
are passed in, nothing is opened. Standard library alone, so that every role can import it.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, NoReturn, TypeVar, get_type_hints

from openstack_csi.errors import InvalidArgument, unknown_key

DRIVER_NAME = "cinder.csi.openstack.org"
ZONE_KEY = "topology.cinder.csi.openstack.org/zone"  # stays, whatever the driver is called: PVs name it
WATCHERS = ("provisioner", "attacher")
METADATA_SOURCES = ("configDrive", "metadataService")

_PREFIX = "OPENSTACK_CSI_"
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}
_DRIVER_NAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9.-]{0,61}[a-zA-Z0-9])?")
_SOCKET_PATH_BYTES = 107  # sockaddr_un.sun_path without its closing zero

T = TypeVar("T")


class HostPort(NamedTuple):
    """Where an HTTP server listens; an empty host is every address."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def truth(text: str) -> bool:
    """True or False from the words that people write for them."""
    words = {"true": True, "on": True, "yes": True, "1": True, "false": False, "off": False, "no": False, "0": False}
    if text.lower() not in words:
        raise ValueError("is neither true nor false")
    return words[text.lower()]


def number(minimum: int) -> Callable[[str], int]:
    """A whole number that is at least `minimum`."""

    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit():
            raise ValueError("is not a whole number")
        if int(text) < minimum:
            raise ValueError(f"is less than {minimum}")
        return int(text)

    return parse


def seconds(text: str) -> float:
    """Seconds from `15s`, `500ms`, `5m`, `1h` or a bare number of seconds."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("is not a time such as 15s, 500ms, 5m or 1h")
    return float(match[1]) * _SECONDS[match[2]]


def one_of(*choices: str) -> Callable[[str], str]:
    """One of the words."""

    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(f"is unknown. {unknown_key('value', text, choices).hint}")
        return text

    return parse


def some_of(*choices: str) -> Callable[[str], tuple[str, ...]]:
    """A comma list of the words, in the order given, each once; empty means none."""

    def parse(text: str) -> tuple[str, ...]:
        words = tuple(word.strip() for word in text.split(",") if word.strip())
        return tuple(dict.fromkeys(one_of(*choices)(word) for word in words))

    return parse


def socket_path(text: str) -> Path:
    """The path of a unix socket, written alone or as `unix:///path`."""
    path = Path(text.removeprefix("unix:").removeprefix("//"))
    if not path.is_absolute():
        raise ValueError("is not an absolute path of a unix socket, such as /csi/csi.sock")
    if len(bytes(path)) > _SOCKET_PATH_BYTES:
        raise ValueError(f"is longer than the {_SOCKET_PATH_BYTES} bytes that the kernel allows for a socket's path")
    return path


def absolute_path(text: str) -> Path:
    """An absolute path."""
    if not text.startswith("/"):
        raise ValueError("is not an absolute path")
    return Path(text)


def optional(parse: Callable[[str], T]) -> Callable[[str], T | None]:
    """`parse`, with None for the empty text."""
    return lambda text: parse(text) if text else None


def host_port(text: str) -> HostPort:
    """`:8080`, `127.0.0.1:8080` or `[::1]:8080`."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("is not an address such as :8080 or 127.0.0.1:8080")
    return HostPort(host.removeprefix("[").removesuffix("]"), int(port))


def driver_name(text: str) -> str:
    """A CSI driver name (CSI 1.12, GetPluginInfoResponse.name)."""
    if not _DRIVER_NAME.fullmatch(text):
        raise ValueError(
            "is not a driver name: at most 63 letters, digits, dashes and dots, a letter or digit at both ends"
        )
    return text


class Flag(NamedTuple):
    """How a field is read: the reading of its text, what `--help` says, and a variable that other tools know too."""

    parse: Callable[[str], Any]
    help: str
    also: str = ""


_HTTP = HostPort("", 8080)
_HTTP_HELP = "address of /metrics, /healthz and /readyz; empty: none"


@dataclass(frozen=True)
class _Common:
    driver_name: Annotated[str, Flag(driver_name, "CSI name of the Cinder driver")] = DRIVER_NAME
    log_format: Annotated[str, Flag(one_of("text", "json"), "text or json")] = "text"
    log_level: Annotated[str, Flag(one_of("debug", "info", "warning", "error"), "least level that is logged")] = "info"


@dataclass(frozen=True)
class ControllerConfig(_Common):
    """What `openstack-csi controller` was told. Times are seconds."""

    endpoint: Annotated[Path, Flag(socket_path, "unix socket of the CSI services")] = Path("/csi/csi.sock")
    http_endpoint: Annotated[HostPort | None, Flag(optional(host_port), _HTTP_HELP)] = _HTTP
    cloud: Annotated[
        str, Flag(str, "the cloud of clouds.yaml to use; empty: its only one, or openstack", "OS_CLOUD")
    ] = ""
    clouds_file: Annotated[Path, Flag(Path, "clouds.yaml; read again whenever it changes", "OS_CLIENT_CONFIG_FILE")] = (
        Path("/etc/openstack/clouds.yaml")
    )
    cluster_id: Annotated[
        str, Flag(str, "stamp of this cluster's volumes; empty: the UID of the namespace kube-system")
    ] = ""
    kubeconfig: Annotated[str, Flag(str, "kubeconfig file; empty: the service account, else KUBECONFIG")] = ""
    watchers: Annotated[tuple[str, ...], Flag(some_of(*WATCHERS), "built-in watchers to run; empty: none")] = WATCHERS
    workers: Annotated[int, Flag(number(1), "threads of each watcher's queue; none ever waits for the cloud")] = 32
    retry_interval_start: Annotated[float, Flag(seconds, "first pause before a failed claim is tried again")] = 1.0
    retry_interval_max: Annotated[float, Flag(seconds, "longest such pause")] = 300.0
    default_fstype: Annotated[str, Flag(str, "file system where the StorageClass names none")] = "ext4"
    orphan_policy: Annotated[
        str,
        Flag(
            one_of("report", "unused", "delete"),
            "what becomes of volumes that no claim and no PV refers to: only reported, or deleted after the grace time"
            " if they were never attached (unused), or all of them (delete)",
        ),
    ] = "unused"
    orphan_grace: Annotated[float, Flag(seconds, "how long such a volume is only reported")] = 600.0
    leader_election: Annotated[bool, Flag(truth, "let only one replica run the watchers")] = True
    leader_election_namespace: Annotated[str, Flag(str, "namespace of the Lease")] = "kube-system"
    leader_election_lease_duration: Annotated[float, Flag(seconds, "a leader not heard of for so long is replaced")] = (
        15.0
    )
    leader_election_renew_deadline: Annotated[
        float, Flag(seconds, "a leader that cannot renew for so long steps down")
    ] = 10.0
    leader_election_retry_period: Annotated[
        float, Flag(seconds, "longest pause between two tries to get or renew the Lease")
    ] = 2.0

    def __post_init__(self) -> None:
        """Refuse values that contradict each other."""
        if not self.leader_election_retry_period < self.leader_election_renew_deadline:
            raise InvalidArgument("--leader-election-retry-period: must be less than --leader-election-renew-deadline")
        if not self.leader_election_renew_deadline < self.leader_election_lease_duration:
            raise InvalidArgument(
                "--leader-election-renew-deadline: must be less than --leader-election-lease-duration"
            )
        if self.retry_interval_start > self.retry_interval_max:
            raise InvalidArgument("--retry-interval-start: must not be more than --retry-interval-max")


@dataclass(frozen=True)
class NodeConfig(_Common):
    """What `openstack-csi node` was told."""

    endpoint: Annotated[
        Path | None,
        Flag(
            optional(socket_path),
            "unix socket of the CSI services; empty: <kubelet-dir>/plugins/<driver-name>/csi.sock",
        ),
    ] = None
    http_endpoint: Annotated[HostPort | None, Flag(optional(host_port), _HTTP_HELP)] = None
    kubelet_dir: Annotated[Path, Flag(absolute_path, "the kubelet's directory")] = Path("/var/lib/kubelet")
    registration: Annotated[bool, Flag(truth, "register with the kubelet; off where a registrar does it")] = True
    node_id: Annotated[str, Flag(str, "UUID of the Nova server; empty: from the metadata, else the provider id")] = ""
    zone: Annotated[str, Flag(str, "availability zone; empty: from the metadata")] = ""
    metadata_order: Annotated[
        tuple[str, ...], Flag(some_of(*METADATA_SOURCES), "where node id and zone are looked for")
    ] = METADATA_SOURCES
    config_drive: Annotated[
        Path | None, Flag(optional(absolute_path), "where the config drive is mounted; empty: found by its label")
    ] = None
    provider_id: Annotated[str, Flag(str, "Node.spec.providerID", "NODE_PROVIDER_ID")] = ""
    max_volumes: Annotated[int, Flag(number(0), "volumes that can be attached; 0: what the bus allows")] = 0

    @property
    def csi_socket(self) -> Path:
        """Where the CSI services listen: the path must be the same for the kubelet."""
        return self.endpoint or self.kubelet_dir / "plugins" / self.driver_name / "csi.sock"


C = TypeVar("C", ControllerConfig, NodeConfig)

_NOT_GIVEN: Final = object()


def read(role: type[C], arguments: Sequence[str], environ: Mapping[str, str]) -> C:
    """The configuration of a role.

    Args:
        role: ControllerConfig or NodeConfig.
        arguments: the command line behind the role's name.
        environ: the environment.

    Raises:
        InvalidArgument: an unknown flag or a bad value, naming the flag or the variable.
        SystemExit: `--help` was asked for, and has been printed.
    """
    flags = {name: hint.__metadata__[0] for name, hint in get_type_hints(role, include_extras=True).items()}
    defaults = {each.name: each.default for each in fields(role)}
    given, unknown = _parser(role, flags, defaults).parse_known_args(arguments)
    for argument in unknown:
        if not argument.startswith("-"):
            raise InvalidArgument(f'"{argument}" is not expected here', hint="Flags begin with --.")
        raise unknown_key("flag", argument.partition("=")[0], _names(defaults))
    values = {name: _value(name, flag, vars(given)[name], environ) for name, flag in flags.items()}
    return role(**{name: value for name, value in values.items() if value is not _NOT_GIVEN})


def flag_name(name: str) -> str:
    """The flag of a field: `log_format` → `--log-format`."""
    return "--" + name.replace("_", "-")


def variable_name(name: str) -> str:
    """The environment variable of a field: `log_format` → `OPENSTACK_CSI_LOG_FORMAT`."""
    return _PREFIX + name.upper()


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """What argparse itself refuses (a flag without its value), as one line instead of a page of usage."""
        flag, _, reason = message.removeprefix("argument ").partition(": ")
        raise InvalidArgument(f"{flag.rpartition('/')[2]}: {reason}" if reason else message)


def _parser(role: type[C], flags: Mapping[str, Flag], defaults: Mapping[str, Any]) -> _Parser:
    parser = _Parser(
        prog=f"openstack-csi {role.__name__.removesuffix('Config').lower()}",
        allow_abbrev=False,
        epilog="Every flag can be given as an environment variable too: "
        f"{flag_name('log_format')} is {variable_name('log_format')}. The flag wins.",
    )
    for name, flag in flags.items():
        default = defaults[name]
        shown = f"{flag.help} (default: {_shown(default)})"
        if isinstance(default, bool):
            parser.add_argument(
                flag_name(name), nargs="?", const="true", default=_NOT_GIVEN, metavar="BOOL", help=shown
            )
            parser.add_argument(
                flag_name(f"no_{name}"), dest=name, action="store_const", const="false", help="turn it off"
            )
        else:
            parser.add_argument(flag_name(name), default=_NOT_GIVEN, metavar="VALUE", help=shown)
    return parser


def _value(name: str, flag: Flag, given: object, environ: Mapping[str, str]) -> Any:
    """The field's value from the command line, else from the environment, else _NOT_GIVEN."""
    variable = variable_name(name)
    sources = {
        flag_name(name): given,
        variable: environ.get(variable, _NOT_GIVEN),
        flag.also: environ.get(flag.also) or _NOT_GIVEN,
    }
    for source, text in sources.items():
        if isinstance(text, str):
            try:
                return flag.parse(text)
            except ValueError as e:
                raise InvalidArgument(f'{source}: "{text}" {e}') from None
    return _NOT_GIVEN


def _names(defaults: Mapping[str, Any]) -> list[str]:
    negated = [f"no_{name}" for name, default in defaults.items() if isinstance(default, bool)]
    return [flag_name(name) for name in (*defaults, *negated)]


def _shown(default: object) -> str:
    match default:
        case None | "":
            return "empty"
        case bool():
            return "on" if default else "off"
        case HostPort():
            return str(default)
        case tuple():
            return ",".join(default)
        case float():
            return f"{default:g}s"
        case _:
            return str(default)
