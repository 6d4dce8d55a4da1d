"""The examples in the docstrings of the training code that needs no TensorFlow hold."""

import doctest
from types import ModuleType

import pytest

from regsearch.search import quiet_tensorflow
from regsearch.search.training import early_stopping, loop
from regsearch.search.training.hypermodel import code, hyperparameters
from regsearch.studies import errors


@pytest.mark.parametrize("module", [code, early_stopping, errors, hyperparameters, loop, quiet_tensorflow])
def test_the_examples_in_docstrings_hold(module: ModuleType) -> None:
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0
