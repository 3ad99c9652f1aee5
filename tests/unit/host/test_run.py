from __future__ import annotations

import pytest

from openstack_csi.errors import DeadlineExceeded, FailedPrecondition
from openstack_csi.host.run import Completed, Runner, ToolFailed


def test_a_tool_answers_in_the_c_locale_with_nothing_on_its_input() -> None:
    done = Runner()(["sh", "-c", "echo $LC_ALL; cat; echo oops >&2"], 10)
    assert done == Completed("C\n", "oops\n", 0)


def test_a_code_that_means_something_is_an_answer() -> None:
    assert Runner()(["sh", "-c", "exit 2"], 10, ok_codes=(0, 2)).code == 2


def test_a_failure_tells_the_command_and_what_it_said() -> None:
    with pytest.raises(ToolFailed, match=r"`sh -c .*` failed with code 3: no such luck$") as failure:
        Runner()(["sh", "-c", "echo no such luck >&2; exit 3"], 10)
    assert failure.value.completed.code == 3


def test_a_missing_tool_names_the_package_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("openstack_csi.host.run", fromlist=["PACKAGES"]).PACKAGES, "mkfs.none", "nonefs")
    with pytest.raises(FailedPrecondition, match="nonefs"):
        Runner()(["mkfs.none"], 10)


def test_a_tool_that_hangs_is_killed_and_named() -> None:
    with pytest.raises(DeadlineExceeded, match="`sleep 60` was killed"):
        Runner()(["sleep", "60"], 0.05)


def test_every_child_is_observed_with_its_outcome() -> None:
    seen: list[tuple[str, str]] = []
    times = iter(range(100))
    run = Runner(lambda tool, seconds, outcome: seen.append((tool, outcome)), lambda: next(times))
    run(["true"], 10)
    for argv, timeout in ((["false"], 10.0), (["sleep", "60"], 0.05), (["no-such-tool"], 10.0)):
        with pytest.raises((FailedPrecondition, DeadlineExceeded)):
            run(argv, timeout)
    assert seen == [("true", "ok"), ("false", "failed"), ("sleep", "killed"), ("no-such-tool", "missing")]
