"""The examples in the docstrings of the training code that needs no TensorFlow hold."""

import doctest
from types import ModuleType

import pytest

from regsearch.search import quiet_tensorflow
from regsearch.search.training import early_stopping, loop
from regsearch.search.training.hypermodel import hyperparameters
from regsearch.studies import errors, validation


@pytest.mark.parametrize("module", [early_stopping, errors, hyperparameters, loop, quiet_tensorflow, validation])
def test_the_examples_in_docstrings_hold(module: ModuleType) -> None:
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0
