"""Run regsearch's migrations with Alembic, on the given connection and on regsearch's tables only."""

from alembic import context

from regsearch.storage.schema import VERSION_TABLE
from regsearch.storage.tables import PREFIX, Base


def _is_our_table(name: str | None, kind: str, _parents: object) -> bool:
    return kind != "table" or (name is not None and name.startswith(PREFIX) and name != VERSION_TABLE)


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    include_name=_is_our_table,  # else Alembic's autogenerate would drop Optuna's tables
)
context.run_migrations()
