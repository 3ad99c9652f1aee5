"""Log lines: one each, with the facts, never with a secret."""

import json
import logging
from collections.abc import Iterator
from io import StringIO

import pytest

from openstack_csi.ops import logs

log = logging.getLogger("openstack_csi.watch.attacher")


@pytest.fixture
def restored() -> Iterator[None]:
    root = logging.getLogger()
    ours = logging.getLogger("openstack_csi")
    handlers, level, our_level = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    ours.setLevel(our_level)
    logging.captureWarnings(False)


@pytest.fixture
def text(restored: None) -> StringIO:
    stream = StringIO()
    logs.set_up("text", "info", stream)
    return stream


@pytest.fixture
def lines(restored: None) -> StringIO:
    stream = StringIO()
    logs.set_up("json", "info", stream)
    return stream


def test_a_text_line_has_time_level_module_event_and_facts(text: StringIO) -> None:
    log.info("attached", extra={"volume": "v1", "seconds": 1.5, "why": "a b"})
    time, rest = text.getvalue().split(" ", 1)
    assert rest == 'info    watch.attacher: attached volume=v1 seconds=1.5 why="a b"\n'
    assert time.endswith("Z")


def test_a_json_line_is_an_object_with_the_facts(lines: StringIO) -> None:
    log.warning("not %s", "well", extra={"volume": "v1", "nodes": ["a", "b"], "level": 3})
    line = json.loads(lines.getvalue())
    assert line.pop("time")
    assert line == {
        "level": "warning",
        "logger": "watch.attacher",
        "event": "not well",
        "volume": "v1",
        "nodes": ["a", "b"],
        "level_": 3,
    }


def test_a_traceback_stays_in_its_line(text: StringIO) -> None:
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        log.exception("it\nfailed")
    assert text.getvalue().count("\n") == 1
    assert "it\\nfailed" in text.getvalue()
    assert "ValueError: first" in text.getvalue()


@pytest.mark.parametrize(
    "fact",
    [
        {"password": "s3cret"},
        {"secrets": {"user": "s3cret"}},
        {"auth": {"application_credential_secret": "s3cret", "auth_url": "http://x"}},
        {"why": "clouds.yaml: password: s3cret"},
        {"why": "X-Auth-Token: s3cret, other"},
        {"why": "GET /?token=s3cret&x=1"},
        {"body": '{"password": "s3cret"}'},
        {"header": "Authorization: Bearer s3cret"},
        {"steps": ["a", "secret=s3cret"]},
    ],
)
def test_no_secret_is_logged(fact: dict[str, object], text: StringIO) -> None:
    log.info("fact", extra=fact)
    log.info("said %s", fact)
    assert "s3cret" not in text.getvalue()
    assert "***" in text.getvalue()


@pytest.mark.parametrize(
    "plain", ['Secret "openstack-csi-clouds" is missing', "cannot get a token: connection refused", "tokens used: 3"]
)
def test_what_is_no_secret_is_left(plain: str) -> None:
    assert logs.scrub(plain) == plain


def test_the_libraries_underneath_speak_only_of_trouble(restored: None) -> None:
    stream = StringIO()
    logs.set_up("text", "debug", stream)
    logging.getLogger("keystoneauth.session").debug("REQ: curl …")
    log.debug("ours")
    assert stream.getvalue().count("\n") == 1
    assert "ours" in stream.getvalue()
