"""Makes a database of one of the dumps beside this file."""

import json
import sqlite3
from pathlib import Path

from search.machine import versions

FOLDER = Path(__file__).parent


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
