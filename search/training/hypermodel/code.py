"""Finds and identifies the code of a user's HyperModel, without running or importing it."""

import ast
import hashlib
import importlib.machinery
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ....studies.errors import InputError, reason_of
from ....studies.spec import StudySpec
from ....studies.validation import bundled_file, is_bundled_hypermodel
from .former_names import PACKAGE


@dataclass(frozen=True, kw_only=True)
class HyperModelCode:
    """The file of a HyperModel, and how it is imported.

    Attributes:
        path: the absolute path of the file.
        source: the content of the file.
        module: the name of the module, such as "mine" or "package.module".
        name: the name of the HyperModel in the module.
        root: the directory in which Python looks first for the module's imports.
    """

    path: Path
    source: bytes
    module: str
    name: str
    root: Path

    @property
    def sha256(self) -> str:
        """The SHA-256 of the code, as 64 hexadecimal digits."""
        return hashlib.sha256(self.source).hexdigest()


def read_code(reference: str) -> HyperModelCode:
    """Read the code of a reference such as "mine.py:MyHyperModel" or "package.module:name".

    A module is looked up in the current directory, then on Python's path.

    Raises InputError if the file can't be read, or if it doesn't define the name after the colon.
    """
    place, _, name = reference.rpartition(":")
    if place.endswith(".py"):
        path = Path(place).absolute()
        module, root = path.stem, path.parent
    else:
        path, root = _find_module(place)
        module = place
    try:
        source = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"can't read the HyperModel's file {path}: {error.strerror}. If you moved the file, write its new path "
            "into model.hypermodel, and resume with `regsearch run`."
        ) from error
    try:
        names = set(_top_level_names(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError) as error:
        raise InputError(f"the HyperModel's file {path} is not valid Python: {reason_of(error)}.") from error
    if name not in names and "*" not in names:
        known = ", ".join(sorted(names)) or "nothing"
        raise InputError(f"model.hypermodel: {path} does not define {name} at its top level. It defines {known}.")
    return HyperModelCode(path=path, source=source, module=module, name=name, root=root)


def resolve_hypermodel(spec: StudySpec, *, trusts_code: bool) -> StudySpec:
    """Return the study with the absolute path and the SHA-256 of its HyperModel; without one, return it unchanged.

    Raises InputError if the code is not trusted, does not exist, or has another SHA-256 than the study recorded.
    """
    if spec.model.hypermodel is None:
        if spec.model.hypermodel_sha256 is not None:
            raise InputError("model.hypermodel_sha256 is given without model.hypermodel. Give both, or neither.")
        return spec
    reference, known = spec.model.hypermodel, spec.model.hypermodel_sha256
    if not trusts_code and not is_bundled_hypermodel(reference):
        raise InputError(
            f"model.hypermodel = {reference!r} is code that would run here with your permissions. Read it, then add "
            "--trust-code."
        )
    code = read_code(reference)
    if known is not None and known != code.sha256:
        raise InputError(
            f"the code in {code.path} has changed: its SHA-256 was {known}, now it is {code.sha256}. Undo the change, "
            "or start another study with --name."
        )
    if reference.rpartition(":")[0].endswith(".py"):
        reference = f"{code.path}:{code.name}"
    return spec.changed(model={"hypermodel": reference, "hypermodel_sha256": code.sha256})


def _find_module(dotted: str) -> tuple[Path, Path]:
    """Return the file of a module and the directory that contains its package, without importing any module."""
    if (bundled := bundled_file(dotted)) is not None:
        return bundled, PACKAGE
    importlib.machinery.PathFinder.invalidate_caches()
    places: list[str] | None = [str(Path.cwd()), *sys.path]
    spec = None
    for part in range(1, dotted.count(".") + 2):
        name = ".".join(dotted.split(".")[:part])
        spec = importlib.machinery.PathFinder.find_spec(name, places)
        places = None if spec is None else list(spec.submodule_search_locations or ())
        if spec is None:
            raise InputError(f"model.hypermodel: there is no module {name} in {Path.cwd()} or on Python's path.")
    assert spec is not None
    if spec.origin is None or not spec.origin.endswith(".py"):
        raise InputError(f"model.hypermodel: the module {dotted} is not a Python file.")
    path = Path(spec.origin).absolute()
    depth = dotted.count(".") + (path.name == "__init__.py")
    return path, path.parents[depth]


def _top_level_names(tree: ast.Module) -> Iterator[str]:
    """Yield each name that a module defines, and "*" if some names can't be known without running the module."""
    for node in tree.body:
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                yield node.name
            case ast.Assign():
                yield from (target.id for target in node.targets if isinstance(target, ast.Name))
            case ast.AnnAssign():
                if isinstance(node.target, ast.Name):
                    yield node.target.id
            case ast.Import() | ast.ImportFrom():
                yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)
            case ast.If() | ast.Try() | ast.With():
                yield "*"
