"""The table of mutants follows the source."""

from pathlib import Path

import mutants
import pytest


@pytest.mark.parametrize("mutation", mutants.MUTATIONS, ids=lambda mutation: mutation.name)
def test_what_a_mutation_removes_is_there_once_and_so_are_its_tests(mutation: mutants.Mutation) -> None:
    assert (mutants.ROOT / mutation.path).read_text().count(mutation.text) == 1
    for test in mutation.tests:
        path, _, name = test.partition("::")
        assert f"def {name}" in Path(mutants.ROOT, path).read_text()
