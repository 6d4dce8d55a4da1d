"""Makes a database of one of the dumps, or of one of the interrupted studies, beside this file."""

import json
import lzma
import sqlite3
from pathlib import Path

from regsearch.search.machine import versions
from regsearch.storage.paths import trials_folder

FOLDER = Path(__file__).parent
INTERRUPTED = FOLDER / "interrupted"


def schemas() -> list[str]:
    """The schemas that have a dump, the oldest first."""
    return sorted(path.stem.removeprefix("schema-") for path in FOLDER.glob("schema-*.sql"))


def restore(schema: str, path: Path) -> Path:
    """Make the database of a schema, as if its studies had been begun with the Python and the libraries of here."""
    connection = sqlite3.connect(path)
    connection.executescript((FOLDER / f"schema-{schema}.sql").read_text(encoding="utf-8"))
    connection.execute("update regsearch_studies set versions = ?", (json.dumps(versions()),))
    connection.commit()
    connection.close()
    return path


def contents(path: Path) -> dict[str, list[dict[str, object]]]:
    """Every row of every table but the tables of versions, by table."""
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    names = [row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")]
    tables = {
        name: [dict(row) for row in connection.execute(f"select * from {name} order by rowid")]
        for name in names
        if "version" not in name
    }
    connection.close()
    return tables


def interrupted() -> list[str]:
    """The names of the studies that an earlier version began, and that were interrupted; see `interrupt.py`."""
    return sorted(path.name for path in INTERRUPTED.iterdir() if path.is_dir())


def restore_interrupted(study: str, path: Path) -> Path:
    """Make the database of such a study as its interruption left it, with the checkpoint that was there."""
    folder = trials_folder(path, study)
    folder.mkdir(parents=True)
    for kept in (INTERRUPTED / study).glob("*.checkpoint.xz"):
        (folder / kept.stem).write_bytes(lzma.decompress(kept.read_bytes()))
    return _unpacked(INTERRUPTED / study / "interrupted.db.xz", path)


def restore_ended(study: str, path: Path) -> Path:
    """Make the database of such a study as the earlier version ended it."""
    return _unpacked(INTERRUPTED / study / "ended.db.xz", path)


def _unpacked(packed: Path, path: Path) -> Path:
    path.write_bytes(lzma.decompress(packed.read_bytes()))
    return path
