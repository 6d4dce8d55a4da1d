"""The examples in docstrings give what they show."""

import doctest
import importlib

import pytest

MODULES = [
    "studies.configuration",
    "studies.objectives",
    "studies.search_space",
    "studies.spec",
]


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_a_module_are_right(module: str) -> None:
    outcome = doctest.testmod(importlib.import_module(f"regsearch.{module}"))
    assert outcome.attempted > 0
    assert outcome.failed == 0
