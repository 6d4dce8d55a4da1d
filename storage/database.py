"""An open database, whatever its kind: the one transaction helper, and readings that see one moment.

Optuna commits once per call; an ask with five suggestions would be eight commits, and a crash between
them would leave half a trial. `Database.transaction` joins Optuna's session to one open connection, so
that whatever happens inside, our own rows included, is committed together or not at all.
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
    """Give a connection of an engine that is needed for nothing else."""
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def ignore_wait(text: str) -> None:
    """Tell nobody of a wait."""


class Database(ABC):
    """One open database: Optuna's storage, and an engine for the tables of regsearch.

    **Atomicity**: what happens within `transaction` is committed together or not at all, in Optuna's tables as well.

    **Consistency**: within `read`, all statements see the database as it was at one moment.

    **Ownership**: at most one process holds a study's `study_lock`.

    Make one with `storage.connect`, and close it. `storage/sqlite.py` and `storage/postgres.py` have the two kinds.
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
        """Change for how long the transactions within the block wait for another process's.

        Args:
            lock_seconds: how long; None: as before.
            should_give_up: whether waiting has become pointless, for instance as a signal came; None: as before.
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
        """Return what a study's one coordinator holds; entering it raises InputError where another process does."""

    @abstractmethod
    def holder(self, study: str) -> Holder | None:
        """Return who searches a study now, or None; raises StorageError where that can't be seen."""

    @abstractmethod
    def described(self) -> str:
        """Return how the database is kept and how large it is."""

    @property
    def is_fenced(self) -> bool:
        """Whether a coordinator that was overtaken can't commit a step anyway."""
        return False

    @abstractmethod
    def uuid_of(self, connection: sqlalchemy.Connection, study_id: int) -> str | None:
        """Return which of our studies an Optuna study is now, None where it is none, within a transaction.

        No other process of ours writes the study until the transaction ends.
        """

    @contextmanager
    def transaction(self) -> Iterator[sqlalchemy.Connection]:
        """Run Optuna's calls on `storage` and statements on the connection given as one transaction.

        It is committed when the block ends and rolled back when it raises; Optuna's cache is then
        thrown away, since it may hold what never came to be. Don't nest.
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
        """Give a part of a transaction, Optuna's calls included: rolled back, or where it raises, it never was."""
        with connection.begin_nested() as part:
            yield part
            is_undone = not part.is_active
        if is_undone:
            self.storage = cached(self._rdb)

    def _connected(self) -> AbstractContextManager[sqlalchemy.Connection]:
        return self.engine.connect()

    def _committed(self, connection: sqlalchemy.Connection) -> AbstractContextManager[object]:
        """Return a transaction of a connection: committed at the end of the block, rolled back where it raises."""
        return connection.begin()

    def look_back(self, begin: int) -> None:
        """Let `storage` hold only a part of the trials below a number; it only grows (`storage/optuna/lookback.py`)."""
        if self._rdb.look_back(begin):
            self.storage = cached(self._rdb)

    def reading_whole(self, trial_id: int) -> AbstractContextManager[None]:
        """Let `storage` read, of the unfinished trials, only this one whole within the block: that costs less."""
        return self._rdb.reading_whole(trial_id)

    @contextmanager
    def read(self) -> Iterator[sqlalchemy.Connection]:
        """Give a connection for reading, which sees one moment; keep it short, it can hold up a commit of SQLite's."""
        with translate_errors(self.location), self._reading() as connection:
            try:
                yield connection
            except (ValueError, TypeError) as error:  # a text that is no UTF-8, no JSON, no time, or no text at all
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
