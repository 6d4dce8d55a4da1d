"""Makes a database of one of the dumps beside this file."""

import sqlite3
from pathlib import Path

FOLDER = Path(__file__).parent


def schemas() -> list[str]:
    """The schemas that have a dump, the oldest first."""
    return sorted(path.stem.removeprefix("schema-") for path in FOLDER.glob("schema-*.sql"))


def restore(schema: str, path: Path) -> Path:
    """Make the database of a schema."""
    connection = sqlite3.connect(path)
    connection.executescript((FOLDER / f"schema-{schema}.sql").read_text(encoding="utf-8"))
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
