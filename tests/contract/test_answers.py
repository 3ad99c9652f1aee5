"""Plain calls: what a cloud answers. `test_likeness` compares what the fake answers with what the real one did."""

from __future__ import annotations

import pytest

from tests.contract.answers import Answer, answer_of
from tests.contract.cases import CASES, Case
from tests.contract.world import World


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_cloud_answers(case: Case, world: World, answers: dict[str, Answer]) -> None:
    response = case.ask(world)
    answer = answers[case.name] = answer_of(response)
    assert (answer.status, answer.fault) == (case.status, case.fault), response.text
    assert set(case.has) <= set(answer.keys), response.text
