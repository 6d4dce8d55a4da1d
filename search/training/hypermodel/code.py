"""A HyperModel of the user's own: where its code lies, and which code it is; nothing here runs or imports it."""

import ast
import hashlib
import importlib.machinery
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from regsearch.search.training.hypermodel.former_names import PACKAGE
from regsearch.studies.errors import InputError
from regsearch.studies.spec import StudySpec
from regsearch.studies.validation import bundled_file, is_bundled_hypermodel


@dataclass(frozen=True, kw_only=True)
class HyperModelCode:
    """A file, and what it is imported as.

    Attributes:
        path: absolute.
        source: its bytes.
        module: its name, "mine" or "package.module".
        name: of the HyperModel in it.
        root: the folder that its imports are looked for in first.
    """

    path: Path
    source: bytes
    module: str
    name: str
    root: Path

    @property
    def sha256(self) -> str:
        """The fingerprint of the code, as 64 hexadecimal digits."""
        return hashlib.sha256(self.source).hexdigest()


def read_code(reference: str) -> HyperModelCode:
    """Read "mine.py:MyHyperModel" or "package.module:name"; a package is looked for here, then where Python looks.

    Raises InputError where there is no such file, or nothing of that name in it.
    """
    where, _, name = reference.rpartition(":")
    if where.endswith(".py"):
        path = Path(where).absolute()
        module, root = path.stem, path.parent
    else:
        path, root = _find_module(where)
        module = where
    try:
        source = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"the HyperModel's file {path} can't be read ({error.strerror}); if it was moved, go on with "
            f"`regsearch run` and its new place in model.hypermodel"
        ) from error
    try:
        names = set(_top_level_names(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError) as error:
        raise InputError(f"the HyperModel's file {path} is no Python: {' '.join(str(error).split())}") from error
    if name not in names and "*" not in names:
        known = ", ".join(sorted(names)) or "nothing"
        raise InputError(f"model.hypermodel: {path} has no {name} at its top level; there is {known}")
    return HyperModelCode(path=path, source=source, module=module, name=name, root=root)


def resolve_hypermodel(spec: StudySpec, *, trusts_code: bool) -> StudySpec:
    """Return a study that says where its HyperModel's code lies, and which it is; others as they are.

    Raises InputError where the code is not trusted, is not there, or is not the one that the study says.
    """
    if spec.model.hypermodel is None:
        if spec.model.hypermodel_sha256 is not None:
            raise InputError("model.hypermodel_sha256 is of model.hypermodel, which is not given")
        return spec
    reference, known = spec.model.hypermodel, spec.model.hypermodel_sha256
    if not trusts_code and not is_bundled_hypermodel(reference):
        raise InputError(
            f"model.hypermodel = {reference!r} is code, which would run here with your rights: read it, then give "
            "--trust-code"
        )
    code = read_code(reference)
    if known is not None and known != code.sha256:
        raise InputError(
            f"the code in {code.path} has changed: its SHA-256 was {known}, now it is {code.sha256}; undo the change, "
            "or begin another study with --name"
        )
    if reference.rpartition(":")[0].endswith(".py"):
        reference = f"{code.path}:{code.name}"
    return spec.changed(model={"hypermodel": reference, "hypermodel_sha256": code.sha256})


def _find_module(dotted: str) -> tuple[Path, Path]:
    """Return a module's file and the folder that its packages lie in; no package is imported on the way."""
    if (bundled := bundled_file(dotted)) is not None:
        return bundled, PACKAGE
    importlib.machinery.PathFinder.invalidate_caches()
    places: list[str] | None = [str(Path.cwd()), *sys.path]
    found = None
    for part in range(1, dotted.count(".") + 2):
        name = ".".join(dotted.split(".")[:part])
        found = importlib.machinery.PathFinder.find_spec(name, places)
        places = None if found is None else list(found.submodule_search_locations or ())
        if found is None:
            raise InputError(f"model.hypermodel: there is no module {name} in {Path.cwd()}, nor where Python looks")
    assert found is not None
    if found.origin is None or not found.origin.endswith(".py"):
        raise InputError(f"model.hypermodel: the module {dotted} is no Python file")
    path = Path(found.origin).absolute()
    depth = dotted.count(".") + (path.name == "__init__.py")
    return path, path.parents[depth]


def _top_level_names(tree: ast.Module) -> Iterator[str]:
    """Give each name that a module binds by a plain statement; "*" where it takes all of another."""
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
