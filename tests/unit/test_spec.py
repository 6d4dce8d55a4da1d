"""A study file is read into frozen, validated values, or refused with one line."""

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from regsearch.search.training.hypermodel.code import resolve_hypermodel
from regsearch.studies.added_keys import added_later
from regsearch.studies.contest.notes import notes
from regsearch.studies.contest.proposals import Entry
from regsearch.studies.errors import InputError
from regsearch.studies.recipes import contest_of, recipe_names
from regsearch.studies.spec import KEPT_KEYS, StudySpec, TrainingSpec, differing_keys
from regsearch.studies.study_file import CATALOG, catalog_names, given_keys, json_schema, read_study
from regsearch.studies.validation import check_name, parse_duration


@pytest.mark.parametrize("name", catalog_names())
def test_ready_studies_are_valid_and_bear_their_own_name(name: str) -> None:
    spec = read_study(name)
    assert spec.study.name == name
    assert spec.study.question


@pytest.mark.parametrize("name", catalog_names())
def test_a_ready_study_asks_for_no_code_but_ours(name: str) -> None:
    assert resolve_hypermodel(read_study(name), trusts_code=False).study.name == name


def test_a_ready_studys_question_is_not_asked_of_another_network(tmp_path: Path) -> None:
    hypermodel = "model.hypermodel=mine.py:build"
    assert read_study("digits").study.question
    assert not read_study("digits", [hypermodel]).study.question
    assert read_study("digits", [hypermodel, "study.question=Mine?"]).study.question == "Mine?"
    (tmp_path / "own.toml").write_text('[study]\nquestion = "Mine?"\n')
    assert read_study(str(tmp_path / "own.toml"), [hypermodel]).study.question == "Mine?"


def test_an_empty_file_is_a_study_of_defaults(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("")
    assert read_study(str(path)) == StudySpec().changed(study={"name": "mine"})


def test_the_file_in_the_documentation_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "documented.toml"
    path.write_text(
        """
        [study]
        name = "mnist"
        question = "Which?"
        [data]
        source = "auto"
        stop_fraction = 0.1
        select_fraction = 0.1
        train_size = 5000
        [model]
        hidden = [140]
        activation = "relu"
        apply_to = "widest"
        [training]
        optimizer = "adam"
        learning_rate = 1e-3
        batch_size = 32
        max_epochs = 20
        [space]
        regularizer = ["none", "l1", "l2", "l1_l2"]
        l1 = { low = 1e-7, high = 1e-2 }
        l2 = { low = 1e-7, high = 1e-2 }
        dropout = { low = 0.05, high = 0.6, off = true }
        batch_norm = ["none", "before_activation", "after_activation"]
        patience = { low = 1, high = 8, off = true }
        [search]
        objective = "cross_entropy"
        sampler = "tpe"
        pruner = "median"
        sampler_options = { n_startup_trials = 20 }
        recipes = ["course"]
        seed = 0
        [confirm]
        top = 3
        seeds = 5
        [budget]
        trials = 60
        timeout = "30m"
        """
    )
    spec = read_study(str(path))
    assert spec.space == StudySpec().space
    assert spec.confirm is not None
    assert spec.confirm.seeds == 5


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("training.max_epoch=3", "unknown key training.max_epoch: did you mean max_epochs"),
        ("Budget.trials=1", "unknown key Budget: did you mean budget"),
        ("space.dropout=on", "space.dropout: .*given was 'on'"),
        ("nonsense.key=1", "unknown key nonsense: allowed are study, data"),
        ("space.patience.hi=3", "unknown key space.patience.hi"),
        ("training.max_epochs=true", "training.max_epochs: .* given was True"),
        ("training.max_epochs=1.5", "training.max_epochs: .* given was 1.5"),
        ("training.learning_rate=nan", "training.learning_rate"),
        ("training.learning_rate=inf", "training.learning_rate"),
        ("training.trainer=fast", "training.trainer: .*'keras'"),
        ("space.l1.low=0", "space.l1.low: .*greater than 0"),
        ("space.l1.low=-inf", "space.l1.low"),
        ("space.l2.low=1", "space.l2: low must not be above high; given were low = 1 and high = 0.01"),
        ("space.dropout.high=1", "space.dropout.high: .*less than 1"),
        ("space.regularizer=[]", "space.regularizer: give at least one"),
        ('space.batch_norm=["none", "none"]', "space.batch_norm: .*no choice twice"),
        ('space.regularizer=["l3"]', "space.regularizer.0: .*'l1_l2'; given was 'l3'"),
        ("budget.trials=0", "budget.trials: .*greater than 0; given was 0"),
        ("budget.trials=-3", "budget.trials: .*greater than 0; given was -3"),
        ("budget.timeout=soon", "budget.timeout: a duration is written 90s, 30m"),
        ("budget.timeout=0s", "budget.timeout: .*positive"),
        ("search.seed=-1", "search.seed"),
        ("search.pruner_options={upper=inf}", "search.pruner_options: .*nan and inf"),
        ("search.sampler_options={a=2020-01-01}", "search.sampler_options: .*without dates"),
        ("study.name=../etc", "study.name: .*A-Z a-z 0-9"),
        ("data.stop_fraction=0.5", "data.stop_fraction: .*less than 0.5"),
        ("model.hidden=[]", "model.hidden"),
        ("model.hidden=[0]", "model.hidden.0"),
        ("confirm.seeds=1", "confirm.seeds"),
        ("confirm.split=other", "confirm.split: .*'drawn'"),
        ("confirm.method=some", "confirm.method: .*'race'"),
        *((f"confirm.smallest_gain={wrong}", "confirm.smallest_gain") for wrong in ("-0.1", "0", "nan", "inf", "much")),
    ],
)
def test_bad_values_are_refused_with_the_key_and_what_is_allowed(setting: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        read_study("smoke", [setting])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("setting", ["seed=3", "search.seed", "=3", "study=1", "search..seed=3"])
def test_a_setting_without_section_key_and_value_is_refused(setting: str) -> None:
    with pytest.raises(InputError, match=r"SECTION\.KEY=VALUE"):
        read_study("smoke", [setting])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe", "not UTF-8"),
        (b"[study", "not valid TOML"),
        (b"a = 1\na = 2", "not valid TOML"),
        (b"#" * 1_000_001, "larger than"),
        (b"study = 3", "study: .* given was 3"),
    ],
)
def test_a_file_that_is_no_study_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_study(str(path))


def test_an_unknown_study_is_refused_with_the_nearest_names(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="did you mean mnist"):
        read_study("mnsit")
    with pytest.raises(InputError, match=r"can't be read: No such file"):
        read_study(str(tmp_path / "absent.toml"))
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(InputError, match=r"can't be read: Is a directory"):
        read_study(str(tmp_path / "folder.toml"))


@pytest.mark.parametrize("name", ["a", "A.b-c_9", "x" * 64])
def test_good_names_pass(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "é", "a/b", "a\n", "‮a"])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="1 to 64 characters"):
        check_name(name)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("45", 45), ("1h1s", 3601)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-5m", "5 minutes", "1.5h", "m", "9" * 30 + "h"])
def test_bad_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a duration is written"):
        parse_duration(text)


def test_the_resolved_spec_survives_storage(smoke: StudySpec) -> None:
    assert StudySpec.from_json(smoke.to_json()) == smoke
    assert '"spec_version":1' in smoke.to_json()


def test_a_spec_is_frozen(smoke: StudySpec) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        smoke.search.seed = 3


def test_the_fingerprint_is_that_of_the_first_release() -> None:
    """It must never change for a study of old, or resuming would refuse it."""
    first = StudySpec.from_json('{"spec_version": 1, "training": {"trainer": "keras"}}')
    assert first.fingerprint() == "45b7a067b6dc3360e1b8191f112b5792701cb0b271d2796129c3cb26737cbb45"


def test_a_stored_study_keeps_what_the_user_does_not_give(smoke: StudySpec) -> None:
    begun = StudySpec.from_json(
        smoke.changed(
            training={"trainer": "keras"},
            search={"sampler": "tpe", "sampler_options": {"n_startup_trials": 4}, "pruner": "hyperband", "rules": 1},
            model={"batch_norm_momentum": 0.99},
            confirm={"seeds": 3, "split": "fixed", "method": "all", "smallest_gain": 0.02},
            budget={"trials": 50},
        ).to_json()
    )
    kept = smoke.inheriting_from(begun, given=())
    for section, key in (name.split(".") for group in KEPT_KEYS for name in group):
        assert getattr(getattr(kept, section), key) == getattr(getattr(begun, section), key), key
    asked = smoke.changed(training={"trainer": "compiled"}, search={"sampler": "random", "sampler_options": {}})
    other = asked.inheriting_from(begun, given=("training.trainer", "search.sampler"))
    assert (other.training.trainer, other.search.sampler, other.search.sampler_options) == ("compiled", "random", {})
    assert (other.search.pruner, other.budget.trials) == ("hyperband", 50)


def test_a_key_that_a_stored_study_lacks_has_its_earlier_value() -> None:
    old = StudySpec.from_json('{"spec_version": 1}')
    assert (old.model.batch_norm_momentum, old.search.rules) == (0.99, 1)
    assert (StudySpec().model.batch_norm_momentum, StudySpec().search.rules) == ("derived", 3)
    assert (old.confirm.split, StudySpec().confirm.split) == ("fixed", "drawn")
    assert (old.confirm.method, StudySpec().confirm.method) == ("all", "race")
    assert StudySpec.from_json('{"spec_version": 1, "confirm": null}').confirm.split == "fixed"
    assert StudySpec.from_json(old.to_json()) == old
    assert old.changed(study={"name": "other"}).search.rules == 1
    assert old.fingerprint() != StudySpec().fingerprint()


def test_given_keys_are_those_of_settings_and_of_a_users_file(tmp_path: Path) -> None:
    assert given_keys("digits", ["search.sampler=random"]) == {"search.sampler"}
    file = tmp_path / "mine.toml"
    file.write_text("[search]\nsampler = 'qmc'\n[budget]\ntrials = 4\n")
    assert given_keys(str(file), ["training.max_epochs=3"]) == {
        "search.sampler",
        "budget.trials",
        "training.max_epochs",
    }


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("data", "stop_fraction", 0.2),
        ("model", "hidden", [16, 16]),
        ("training", "max_epochs", 5),
        ("space", "dropout", "off"),
        ("search", "objective", "accuracy"),
        ("search", "seed", 1),
    ],
)
def test_what_decides_results_changes_the_fingerprint(section: str, key: str, value: object, smoke: StudySpec) -> None:
    changed = smoke.changed(**{section: {key: value}})
    assert changed.fingerprint() != smoke.fingerprint()
    (difference,) = differing_keys(smoke, changed)
    assert difference.startswith(f"{section}.{key}: ")


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("study", "name", "other"),
        ("data", "source", "mnist"),
        ("search", "sampler", "random"),
        ("search", "pruner", "none"),
        ("search", "recipes", ["course"]),
        ("confirm", "split", "fixed"),
        ("confirm", "method", "all"),
        ("confirm", "smallest_gain", 0.01),
        ("budget", "trials", 99),
        ("budget", "timeout", "1h"),
    ],
)
def test_what_may_change_between_runs_does_not(section: str, key: str, value: object, smoke: StudySpec) -> None:
    changed = smoke.changed(**{section: {key: value}})
    assert changed.fingerprint() == smoke.fingerprint()
    assert differing_keys(smoke, changed) == []


class LaterTraining(TrainingSpec):
    momentum: float = Field(0.5, json_schema_extra=added_later(0.0))
    schedule: str | None = None


class LaterSpec(StudySpec):
    training: LaterTraining = LaterTraining()


def test_a_key_added_later_leaves_older_fingerprints_alone() -> None:
    assert LaterSpec.from_json(StudySpec().to_json()).fingerprint() == StudySpec().fingerprint()
    assert LaterSpec().fingerprint() != StudySpec().fingerprint()


def test_every_key_is_described_in_the_schema() -> None:
    schema = json_schema()
    for section, definition in schema["$defs"].items():
        for key, value in definition["properties"].items():
            if section not in ("StrengthRange",) and key not in ("low", "high"):
                assert value.get("description"), f"{section}.{key}"
            assert "default" in value, f"{section}.{key}"


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_setting_is_applied_or_refused(key: str, value: str) -> None:
    with contextlib.suppress(InputError):
        assert isinstance(read_study("smoke", [f"{key}={value}"]), StudySpec)


def test_the_rows_trained_on_are_those_that_are_not_held_back() -> None:
    data = read_study("mnist").data
    assert (data.held_back(60_000), data.train_rows(60_000)) == ((6_000, 6_000), 48_000)
    assert read_study("small-data").data.train_rows(60_000) == 1_000


def test_the_sizes_of_small_data_differ_in_their_examples_alone() -> None:
    text = (CATALOG / "small-data.toml").read_text()
    sizes = re.findall(r"--name (\S+) --set (data\.train_size=\d+)", text)
    assert len(sizes) == 3
    first = read_study("small-data")
    for name, setting in sizes:
        (key,) = differing_keys(first, read_study("small-data", [setting]))
        assert key.startswith("data.train_size: 1000 →")
        assert name in text.split("regsearch compare small-data ")[1].splitlines()[0]


@pytest.mark.parametrize("name", [name for name in catalog_names() if name not in ("smoke", "cnn")])
def test_every_ready_study_has_enough_trials_for_a_fair_contest(name: str) -> None:
    study = read_study(name)
    assert notes(contest_of(study), study.budget.trials) == []


def test_ladder_tries_every_rung_and_says_what_it_does_not_ask_about() -> None:
    study = read_study("ladder")
    contest, entries = contest_of(study), []
    for number in range(study.budget.trials):
        settings = contest.propose(number, entries)
        assert settings is not None
        entries.append(Entry(settings=settings, loss=1.0 + settings.l1 + settings.l2 + settings.dropout))
    tried = {entry.settings for entry in entries}
    assert set(recipe_names(study)) <= tried
    assert {settings.patience for settings in tried} == {None, contest.patience}
    assert all(technique in study.study.question for technique in ("BatchNorm", "L1+L2"))
