"""The command that runs a study again: a ready study, and a setting for whatever is not as in that one."""

import shlex
from typing import Any

from regsearch.studies.records import StudyRecord
from regsearch.studies.reports.toml import toml_value
from regsearch.studies.spec import StudySpec
from regsearch.studies.study_file import catalog_names, read_study


def command(study: StudyRecord) -> str:
    """Return the `regsearch run` that asks for exactly that study, as a shell takes it, in one line.

    It begins with the ready study that needs the fewest settings, and needs no file. A study for which MNIST could not
    be had names the data that it took instead, and one of a HyperModel of the user's own that its code is trusted.
    """
    spec, source = study.spec, study.dataset.source
    if spec.data.source == "auto" and source != "mnist":
        spec = spec.changed(data={"source": source})
    found = {name: settings for name in catalog_names() if (settings := _settings(name, spec)) is not None}
    ready = min(found, key=lambda name: (len(found[name]), name != spec.study.name, name != "mnist"))
    words = ["regsearch", "run", ready]
    if spec.study.name != ready:
        words += ["--name", spec.study.name]
    words += ["--trials", str(spec.budget.trials)]
    for key, value in found[ready].items():
        words += ["--set", f"{key}={toml_value(value)}"]
    if "model.hypermodel" in found[ready]:
        words.append("--trust-code")
    return shlex.join(words)


def _settings(ready: str, spec: StudySpec) -> dict[str, Any] | None:
    """Return "section.key" → value of what differs, but for name and total; None where a key would have to go."""
    theirs = read_study(ready).model_dump(mode="json")
    if spec.model.hypermodel not in (None, theirs["model"]["hypermodel"]):
        theirs["study"]["question"] = ""  # as `read_study` has it, being asked for another network
    left_out = {("study", "name"), ("budget", "trials")}
    if theirs["model"]["hypermodel"] == spec.model.hypermodel:
        left_out.add(("model", "hypermodel_sha256"))  # which a ready study doesn't say of what comes with it
    differing = {
        f"{section}.{key}": value
        for section, keys in spec.model_dump(mode="json").items()
        for key, value in keys.items()
        if value != theirs[section][key] and (section, key) not in left_out
    }
    return None if None in differing.values() else differing
