"""A few hundred inputs of every kind, always the same ones; `fuzz.py` runs thousands."""

from collections.abc import Iterator

import pytest
from fuzz import KINDS, World, fuzz, made_world

COUNTS = {"study_files": 90, "options": 120, "urls": 60, "data_files": 40, "databases": 10, "trial_files": 8}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with made_world() as world:
        yield world


@pytest.mark.parametrize("share", [1 / 8, pytest.param(1, marks=pytest.mark.slow)], ids=["some", "all"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_input_ends_with_a_code_and_one_line_and_harms_nothing(kind: str, share: float, world: World) -> None:
    count = round(COUNTS[kind] * share)
    figures = fuzz(world, kind, range(count), seed=1)
    assert figures.failures == []
    assert figures.inputs - figures.outside >= count * 0.8
    assert share < 1 or figures.codes[0] > 0
