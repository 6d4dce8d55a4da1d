"""Show how to run the study again: the command, the whole study file, and what else the results depend on."""

from ...batch_norm import momentum_in_words
from ...spec import StudySpec
from ..data import ReportData
from ..html import element, join, table
from ..toml import as_toml
from .section import Section


def section(content: ReportData) -> Section:
    """Return the last section of the page, which every report has."""
    study = content.answer.study
    facts = [
        ("seed", study.spec.search.seed),
        (
            "data",
            f"{study.dataset.name}, {study.dataset.n_train:,} training and {study.dataset.n_test:,} test examples",
        ),
        ("data fingerprint (SHA-256)", element("code", study.dataset.sha256)),
        ("study fingerprint (SHA-256)", element("code", study.spec.fingerprint())),
        *_batch_norm_momentum(content),
        *((f"version of {name}", element("code", version)) for name, version in sorted(study.versions.items())),
    ]
    return Section(
        id="again",
        title="How to run it again",
        body=join(
            [
                element("pre", element("code", content.command)),
                element(
                    "p",
                    "With one worker, the same type of processor and the same versions, all figures come out the same.",
                ),
                table(("what results depend on", "value"), facts),
                element("details", element("summary", "The study file, with every default"), _study_file(study.spec)),
            ]
        ),
    )


def _batch_norm_momentum(content: ReportData) -> list[tuple[str, str]]:
    study = content.answer.study
    momentum = momentum_in_words(study.spec, study.spec.data.train_rows(study.dataset.n_train))
    if momentum is None or not content.has_techniques or study.spec.space.batch_norm == ("none",):
        return []
    return [("momentum of BatchNorm's averages", momentum)]


def _study_file(spec: StudySpec) -> object:
    return element("pre", element("code", as_toml(spec)))
