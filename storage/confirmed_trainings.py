"""Read the results of each finalist on each fresh seed."""

from typing import Any

from sqlalchemy import Connection, select

from ..studies.analysis.confirmed_finalist import Training
from ..studies.example_scores import PerExampleScores
from .tables import ConfirmationRow, TestEvaluationRow


def read_trainings(connection: Connection, uuid: str, sign: int) -> list[Training]:
    """Return a study's trainings of finalists, ordered by finalist and seed.

    Args:
        connection: a connection for reading.
        uuid: the UUID of the study.
        sign: the factor for objectives on the test set: -1 if the study maximizes its objective, else 1.
    """
    table: Any = ConfirmationRow.__table__
    looks: Any = TestEvaluationRow.__table__
    rows = connection.execute(
        select(table, looks.c.began_at, looks.c.ended_at, looks.c.test_rows, looks.c.objective.label("test_objective"))
        .outerjoin_from(
            table,
            looks,
            (table.c.study_uuid == looks.c.study_uuid)
            & (table.c.finalist == looks.c.finalist)
            & (table.c.seed == looks.c.seed),
        )
        .where(table.c.study_uuid == uuid)
        .order_by(table.c.finalist, table.c.seed)
    )
    return [
        Training(
            finalist=row.finalist,
            seed=row.seed,
            look=row.look,
            state=row.state,
            reason=row.reason,
            began_looking=row.began_at is not None,
            figures=dict(row._mapping),
            select=None if row.select_rows is None else PerExampleScores.from_bytes(row.select_rows),
            test=None if row.test_rows is None else PerExampleScores.from_bytes(row.test_rows),
            test_objective=None if row.test_objective is None else sign * row.test_objective,
        )
        for row in rows
    ]
