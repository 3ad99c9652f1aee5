"""The command line: what it takes, how it refuses, and what a role loads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from openstack_csi import __version__, cli, config
from openstack_csi.config import ControllerConfig, HostPort, NodeConfig, read
from openstack_csi.errors import InvalidArgument


def test_without_flags_the_controller_has_its_defaults() -> None:
    assert read(ControllerConfig, [], {}) == ControllerConfig()


def test_a_flag_sets_its_field() -> None:
    told = read(ControllerConfig, ["--workers=3", "--log-format", "json", "--endpoint=unix:///run/x.sock"], {})
    assert (told.workers, told.log_format, told.endpoint) == (3, "json", Path("/run/x.sock"))


def test_a_flag_can_be_an_environment_variable_and_the_flag_wins() -> None:
    environ = {"OPENSTACK_CSI_WORKERS": "5", "OPENSTACK_CSI_LOG_LEVEL": "debug"}
    told = read(ControllerConfig, ["--workers=3"], environ)
    assert (told.workers, told.log_level) == (3, "debug")


@pytest.mark.parametrize(
    ("arguments", "leads"),
    [
        ([], True),
        (["--leader-election"], True),
        (["--no-leader-election"], False),
        (["--leader-election=false"], False),
    ],
)
def test_leader_election_is_on_unless_told(arguments: list[str], leads: bool) -> None:
    assert read(ControllerConfig, arguments, {}).leader_election is leads


def test_the_variables_of_other_tools_are_known() -> None:
    told = read(ControllerConfig, [], {"OS_CLOUD": "lab", "OS_CLIENT_CONFIG_FILE": "clouds.yaml"})
    assert (told.cloud, told.clouds_file) == ("lab", Path("clouds.yaml"))
    assert read(NodeConfig, [], {"NODE_PROVIDER_ID": "openstack:///x"}).provider_id == "openstack:///x"


def test_no_watchers_is_a_choice() -> None:
    assert read(ControllerConfig, ["--watchers="], {}).watchers == ()
    assert read(ControllerConfig, ["--watchers=attacher, provisioner,attacher"], {}).watchers == (
        "attacher",
        "provisioner",
    )


@pytest.mark.parametrize(
    ("text", "seconds"), [("15s", 15.0), ("500ms", 0.5), ("5m", 300.0), ("1h", 3600.0), ("1.5", 1.5)]
)
def test_times_are_written_as_the_sidecars_write_them(text: str, seconds: float) -> None:
    assert config.seconds(text) == seconds


@pytest.mark.parametrize(
    ("text", "address"),
    [(":8080", HostPort("", 8080)), ("127.0.0.1:0", HostPort("127.0.0.1", 0)), ("[::1]:80", HostPort("::1", 80))],
)
def test_addresses(text: str, address: HostPort) -> None:
    assert config.host_port(text) == address


def test_the_node_listens_where_the_kubelet_looks() -> None:
    told = read(NodeConfig, ["--kubelet-dir=/k"], {})
    assert told.csi_socket == Path("/k/plugins/cinder.csi.openstack.org/csi.sock")
    assert read(NodeConfig, ["--endpoint=/csi/csi.sock"], {}).csi_socket == Path("/csi/csi.sock")


@pytest.mark.parametrize(
    ("arguments", "environ", "says"),
    [
        (["--worker=3"], {}, 'unknown flag "--worker". Did you mean "--workers"?'),
        (["--no-leader-elections"], {}, 'Did you mean "--no-leader-election"?'),
        (["--log-format=xml"], {}, '--log-format: "xml" is unknown. Known are: json, text.'),
        (["--watchers=provisoner"], {}, '--watchers: "provisoner" is unknown. Did you mean "provisioner"?'),
        ([], {"OPENSTACK_CSI_WORKERS": "no"}, 'OPENSTACK_CSI_WORKERS: "no" is not a whole number'),
        (["--workers=0"], {}, '--workers: "0" is less than 1'),
        (["--workers"], {}, "--workers: expected one argument"),
        (["--http-endpoint=8080"], {}, '--http-endpoint: "8080" is not an address'),
        (["--endpoint=csi.sock"], {}, '--endpoint: "csi.sock" is not an absolute path'),
        (["--endpoint=/" + "x" * 107], {}, "107 bytes"),
        (["--driver-name=a_b"], {}, "--driver-name:"),
        (["--orphan-grace=soon"], {}, '--orphan-grace: "soon" is not a time'),
        (["--leader-election=maybe"], {}, '--leader-election: "maybe" is neither true nor false'),
        (["--leader-election-retry-period=20s"], {}, "--leader-election-retry-period: must be less"),
        (["--leader-election-lease-duration=5s"], {}, "--leader-election-renew-deadline: must be less"),
        (["--retry-interval-start=1h"], {}, "--retry-interval-start: must not be more"),
        (["now"], {}, '"now" is not expected here'),
    ],
)
def test_what_cannot_be_followed_is_refused_by_name(arguments: list[str], environ: dict[str, str], says: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        read(ControllerConfig, arguments, environ)
    assert says in str(refused.value)


def test_a_refusal_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["node", "--max-volume=3"]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", 'openstack-csi: unknown flag "--max-volume". Did you mean "--max-volumes"?\n')


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["controler"]) == 2
    assert 'unknown command "controler". Did you mean "controller"?' in capsys.readouterr().err


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["version"]) == 0
    assert capsys.readouterr().out == f"openstack-csi {__version__}\n"
    assert cli.main(["--help"]) == 0
    assert "controller" in capsys.readouterr().out
    assert cli.main([]) == 2


def test_help_names_every_flag_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main(["controller", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--orphan-grace VALUE how long such a volume is only reported (default: 600s)" in text
    assert "(default: provisioner,attacher)" in text


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import openstack_csi.cli", {"grpc", "openstack", "kubernetes", "requests", "prometheus_client"}),
        ("import openstack_csi.roles.node", {"openstack", "keystoneauth1", "kubernetes", "requests"}),
    ],
)
def test_a_role_loads_only_what_it_needs(statement: str, absent: set[str]) -> None:
    code = f"{statement}; import json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert not absent & set(json.loads(done.stdout))
