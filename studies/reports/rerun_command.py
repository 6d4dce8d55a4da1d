"""Write the command that runs a study again, as a ready study with changed settings."""

import shlex
from typing import Any

from ..records import StudyRecord
from ..spec import StudySpec
from ..study_file import catalog_names, read_study
from .toml import toml_value


def command(study: StudyRecord) -> str:
    """Return the `regsearch run` command for exactly this study, on one line and quoted for a shell.

    The command needs no study file: it names the ready study that needs the fewest `--set` options. If MNIST was
    unavailable, the command names the data that the study used instead. If the study has a user's own HyperModel, the
    command contains `--trust-code`.
    """
    spec, source = study.spec, study.dataset.source
    if spec.data.source == "auto" and source != "mnist":
        spec = spec.changed(data={"source": source})
    by_ready = {name: settings for name in catalog_names() if (settings := _settings(name, spec)) is not None}
    ready = min(by_ready, key=lambda name: (len(by_ready[name]), name != spec.study.name, name != "mnist"))
    words = ["regsearch", "run", ready]
    if spec.study.name != ready:
        words += ["--name", spec.study.name]
    words += ["--trials", str(spec.budget.trials)]
    for key, value in by_ready[ready].items():
        words += ["--set", f"{key}={toml_value(value)}"]
    if "model.hypermodel" in by_ready[ready]:
        words.append("--trust-code")
    return shlex.join(words)


def _settings(ready: str, spec: StudySpec) -> dict[str, Any] | None:
    """Return the settings that turn a ready study into this one, by "section.key"; None if settings can't do that.

    They can't remove a key. The name and the number of trials are left out, since they have their own options.
    """
    ready_values = read_study(ready).model_dump(mode="json")
    if spec.model.hypermodel not in (None, ready_values["model"]["hypermodel"]):
        ready_values["study"]["question"] = ""  # `read_study` drops the question if the network changes
    left_out = {("study", "name"), ("budget", "trials")}
    if ready_values["model"]["hypermodel"] == spec.model.hypermodel:
        left_out.add(("model", "hypermodel_sha256"))  # a ready study does not contain the hash of a bundled HyperModel
    differing = {
        f"{section}.{key}": value
        for section, keys in spec.model_dump(mode="json").items()
        for key, value in keys.items()
        if value != ready_values[section][key] and (section, key) not in left_out
    }
    return None if None in differing.values() else differing
