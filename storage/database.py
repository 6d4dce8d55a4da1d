"""An open database, in a file or on a server: its transactions, and reads that show it at one moment.

Optuna commits after each call. So the start of a trial with five parameters would take eight commits, and a crash
between two of them would leave half a trial. `Database.transaction` makes Optuna use one open connection. Then all
writes in the block, also those to regsearch's tables, are committed together or not at all.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import optuna
import sqlalchemy
from optuna.storages import get_storage as cached

from ..studies.errors import StorageError
from ..studies.records import Holder
from .errors import RESTORE, first_line, translate_errors
from .location import Location
from .optuna.storage import FastRDBStorage


@contextmanager
def connection_of(engine: sqlalchemy.Engine) -> Iterator[sqlalchemy.Connection]:
    """Yield a connection of an engine, and dispose of the engine after the block."""
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def ignore_wait(text: str) -> None:
    """Ignore the message that regsearch has to wait."""


class Database(ABC):
    """One open database: Optuna's storage, and an engine for the tables of regsearch.

    **Atomicity**: all writes within `transaction`, also to Optuna's tables, are committed together or not at all.

    **Consistency**: within `read`, all statements see the database as it was at one moment.

    **Ownership**: at most one process holds a study's `study_lock`.

    Open one with `storage.connect`, and close it. `storage/sqlite.py` and `storage/postgres.py` have the two kinds.
    """

    def __init__(self, location: Location, rdb: FastRDBStorage, on_wait: Callable[[str], None]) -> None:
        self.location = location
        self.engine: sqlalchemy.Engine = rdb.engine
        self._rdb = rdb
        self.storage: optuna.storages.BaseStorage = cached(rdb)
        self._on_wait = on_wait
        self._lock_seconds = 10.0
        self._should_give_up: Callable[[], bool] = lambda: False

    @contextmanager
    def waiting(
        self, *, lock_seconds: float | None = None, should_give_up: Callable[[], bool] | None = None
    ) -> Iterator[None]:
        """Change how long the transactions in the block wait for another process.

        Args:
            lock_seconds: the longest wait for a lock, in seconds; None keeps the limit as it is.
            should_give_up: returns whether to stop waiting, for instance after a signal; None changes nothing.
        """
        before = self._lock_seconds, self._should_give_up
        if lock_seconds is not None:
            self._lock_seconds = lock_seconds
        if should_give_up is not None:
            self._should_give_up = should_give_up
        try:
            yield
        finally:
            self._lock_seconds, self._should_give_up = before

    @abstractmethod
    def study_lock(self, study: str) -> AbstractContextManager[object]:
        """Return a context manager that makes this process the study's coordinator.

        Entering it raises InputError if another process is the coordinator.
        """

    @abstractmethod
    def holder(self, study: str) -> Holder | None:
        """Return the process that searches a study now, or None; raises StorageError if this can't be found out."""

    @abstractmethod
    def described(self) -> str:
        """Return a description of the database: how large it is and how it is stored."""

    @property
    def is_fenced(self) -> bool:
        """Whether the database refuses the commits of a coordinator after another one has taken over (fencing)."""
        return False

    @abstractmethod
    def uuid_of(self, connection: sqlalchemy.Connection, study_id: int) -> str | None:
        """Return regsearch's UUID of a study in Optuna's tables, or None if regsearch did not create the study.

        Call it within a transaction. No other process of regsearch writes the study until the transaction ends.
        """

    @contextmanager
    def transaction(self) -> Iterator[sqlalchemy.Connection]:
        """Run the block as one transaction: both Optuna's calls on `storage` and the yielded connection write to it.

        The transaction is committed when the block ends, and rolled back if the block raises an error. After a rollback
        Optuna's cache is replaced, since the cache may hold rows that were never stored. Don't nest transactions.
        """
        try:
            with (
                translate_errors(self.location),
                self._connected() as connection,
                self._committed(connection),
                self._rdb.joining(connection),
            ):
                yield connection
        except BaseException:
            self.storage = cached(self._rdb)
            raise

    @contextmanager
    def savepoint(self, connection: sqlalchemy.Connection) -> Iterator[sqlalchemy.NestedTransaction]:
        """Yield a savepoint.

        If the block raises an error or rolls back the savepoint, all writes in the block are undone, also Optuna's.
        """
        with connection.begin_nested() as part:
            yield part
            is_undone = not part.is_active
        if is_undone:
            self.storage = cached(self._rdb)

    def _connected(self) -> AbstractContextManager[sqlalchemy.Connection]:
        return self.engine.connect()

    def _committed(self, connection: sqlalchemy.Connection) -> AbstractContextManager[object]:
        """Return a transaction: the end of the block commits it, and an error in the block rolls it back."""
        return connection.begin()

    def look_back(self, begin: int) -> None:
        """Let `storage` read only a part of the trials before the number `begin` (see `storage/optuna/lookback.py`).

        A `begin` that is smaller than the last one has no effect.
        """
        if self._rdb.look_back(begin):
            self.storage = cached(self._rdb)

    def reading_whole(self, trial_id: int) -> AbstractContextManager[None]:
        """Within the block, let `storage` read only one unfinished trial completely, which is faster."""
        return self._rdb.reading_whole(trial_id)

    @contextmanager
    def read(self) -> Iterator[sqlalchemy.Connection]:
        """Yield a connection that shows the database at one moment. Keep the block short: it can delay commits."""
        with translate_errors(self.location), self._reading() as connection:
            try:
                yield connection
            except (ValueError, TypeError) as error:  # a value that is not valid UTF-8, JSON, time or text
                raise StorageError(
                    f"{self.location} holds a value that can't be read: {first_line(error)}. {RESTORE}"
                ) from error

    def _reading(self) -> AbstractContextManager[sqlalchemy.Connection]:
        return self.engine.connect()

    def close(self) -> None:
        """Close every connection."""
        self._rdb.scoped_session.remove()
        self.engine.dispose()

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
