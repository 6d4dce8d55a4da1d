"""Writes commands into messages, such as the command that resumes a study."""

from typing import TYPE_CHECKING

from .validation import is_bundled_hypermodel

if TYPE_CHECKING:  # the command line imports this module, and `--help` must not wait for pydantic
    from .spec import StudySpec


def resume_command(spec: "StudySpec", command: str = "resume", *options: str) -> str:
    """Return "regsearch COMMAND STUDY OPTIONS", with `--trust-code` added if the study runs a user's code.

    Example:
        >>> from regsearch.studies.commands import resume_command
        >>> from regsearch.studies.study_file import read_study
        >>> resume_command(read_study("digits"), "confirm", "--seeds", "5")
        'regsearch confirm digits --seeds 5'
    """
    code = spec.model.hypermodel
    trust = () if code is None or is_bundled_hypermodel(code) else ("--trust-code",)
    return " ".join(["regsearch", command, spec.study.name, *options, *trust])
