"""The command with which a study goes on, as a message names it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line names it, and `--help` needs no pydantic
    from regsearch.studies.spec import StudySpec


def resume_command(spec: "StudySpec", command: str = "resume", *options: str) -> str:
    """Return "regsearch resume NAME", with what the study needs: a HyperModel's runs its code."""
    trust = () if spec.model.hypermodel is None else ("--trust-code",)
    return " ".join(["regsearch", command, spec.study.name, *options, *trust])
