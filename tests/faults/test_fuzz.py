"""A few hundred inputs of every kind, always the same ones; `fuzz.py` runs thousands."""

from collections.abc import Iterator

import pytest
from fuzz import KINDS, World, fuzz, made_world

COUNTS = {"study_files": 90, "options": 120, "urls": 60, "data_files": 40, "databases": 10, "trial_files": 8}


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with made_world() as world:
        yield world


@pytest.mark.parametrize("kind", KINDS)
def test_each_input_ends_with_a_code_and_one_line_and_harms_nothing(kind: str, world: World) -> None:
    figures = fuzz(world, kind, range(COUNTS[kind]), seed=1)
    assert figures.failures == []
    assert figures.inputs - figures.outside >= COUNTS[kind] * 0.9
    assert figures.codes[0] > 0
