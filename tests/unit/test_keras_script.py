"""An exported script is complete, or it is refused."""

import pytest

from regsearch.search.export import keras_script as keras_script_module
from regsearch.search.export.keras_script import ScriptData, keras_script
from regsearch.studies.configuration import Regularization
from regsearch.studies.errors import InputError
from regsearch.studies.spec import StudySpec


def script(source: str, **settings: float) -> str:
    data = ScriptData(source=source, input_shape=(28, 28), class_count=10, has_bytes=True, n_train=9, n_stop=9)
    return keras_script("A title.", StudySpec(), data, Regularization(**settings), 0)


def test_a_data_set_that_no_script_can_load_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "mnist" in script("mnist")
    assert "/mine.npz" in script("/mine.npz")
    monkeypatch.setattr(keras_script_module, "dataset_names", lambda: ["digits", "mnist", "tiny"])
    with pytest.raises(
        InputError, match=r"no code that loads the data set tiny\. Add such code to search/export/keras_script\.py"
    ):
        script("tiny")
