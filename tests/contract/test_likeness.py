"""The fake is only as good as its likeness: the same calls, and the answers compared. On the real cloud alone."""

from __future__ import annotations

from pathlib import Path

from tests.contract.answers import Answer, answer_of, keep
from tests.contract.cases import CASES
from tests.contract.site import fake_site
from tests.contract.world import World


def test_the_fake_answers_as_the_real_cloud_does(answers: dict[str, Answer], tmp_path: Path) -> None:
    assert answers, "run it with test_answers.py, whose answers it compares"
    with fake_site(tmp_path) as fake:
        imagined = World(fake)
        found = {case.name: answer_of(case.ask(imagined)) for case in CASES if case.name in answers}
        imagined.close()
    keep("fake", found)
    different = [difference(name, real, found[name]) for name, real in answers.items() if found[name] != real]
    assert not different, "\n".join(["the fake answers otherwise:", *different])


def difference(name: str, real: Answer, fake: Answer) -> str:
    """Where the two differ, a line for each part."""
    parts = [
        f"  {part}: real {getattr(real, part)!r}, fake {getattr(fake, part)!r}"
        for part in Answer.__dataclass_fields__
        if getattr(real, part) != getattr(fake, part)
    ]
    return "\n".join([name, *parts])
