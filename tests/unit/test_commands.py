"""The commands that messages name."""

import pytest

from regsearch.studies.commands import resume_command
from regsearch.studies.study_file import catalog_names, read_study
from regsearch.studies.validation import bundled_file, is_bundled_hypermodel


@pytest.mark.parametrize("name", catalog_names())
def test_no_ready_study_asks_the_user_to_trust_code(name: str) -> None:
    assert resume_command(read_study(name)) == f"regsearch resume {name}"


@pytest.mark.parametrize("reference", ["mine.py:build", "package.module:Model", "search.evil:build"])
def test_a_users_code_needs_trust(reference: str) -> None:
    spec = read_study("cnn").changed(model={"hypermodel": reference})
    assert not is_bundled_hypermodel(reference)
    assert resume_command(spec, "resume", "--trials", "9") == "regsearch resume cnn --trials 9 --trust-code"


def test_a_bundled_module_is_known_by_both_names() -> None:
    path = bundled_file("search.training.cnn")
    assert path is not None
    assert path.name == "cnn.py"
    assert bundled_file("regsearch.search.training.cnn") == path
    assert bundled_file("training.cnn") is None
