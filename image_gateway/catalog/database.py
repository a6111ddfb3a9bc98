"""The engine of the catalog, and the migrations that bring its tables up to date."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from image_gateway.catalog.sqlite import open_sqlite
from image_gateway.errors import CatalogUnavailable

_MIGRATIONS = Path(__file__).parent / "migrations"


class DatabaseUrlError(ValueError):
    """The database URL cannot be used; the text says why without its password."""


class SchemaOutdated(Exception):
    """The tables are missing or older than this program."""


def open_engine(database_url: str, *, pool_size: int = 32, timeout: int | None = None) -> Engine:
    """Make the engine; nothing is connected yet.

    SQLite gets its folder made; PostgreSQL a pool that checks connections.

    Args:
        timeout: seconds that one statement of PostgreSQL may take; None, as migrations need it, for no bound.

    Raises:
        DatabaseUrlError: the URL cannot be parsed, its driver is not installed or its folder not made.
    """
    try:
        url = make_url(database_url)
        backend = url.get_backend_name()
        if backend == "sqlite":
            return open_sqlite(url, pool_size)
    except (ArgumentError, NoSuchModuleError, ValueError):
        # Their texts may quote the password.
        raise DatabaseUrlError("is not a database URL such as sqlite:///catalog.db") from None
    except OSError as error:
        raise DatabaseUrlError(f"names a folder that cannot be made: {error.strerror}") from error
    if backend != "postgresql":
        raise DatabaseUrlError("must be a sqlite or postgresql URL")
    try:
        # The driver is an extra.
        from image_gateway.catalog.postgres import open_postgres

        return open_postgres(url, pool_size, timeout)
    except (NoSuchModuleError, ValueError):
        raise DatabaseUrlError("is not a database URL such as sqlite:///catalog.db") from None
    except ModuleNotFoundError as error:
        raise DatabaseUrlError(f"needs the driver {error.name}: install image-gateway[postgres]") from error


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the tables to the newest revision; safe to run from several processes at once."""
    _with_config(engine, lambda config: command.upgrade(config, revision))


def downgrade(engine: Engine, revision: str) -> None:
    """Bring the tables back to an older revision; what it cannot hold is lost."""
    _with_config(engine, lambda config: command.downgrade(config, revision))


def check_drift(engine: Engine) -> None:
    """Raise alembic's CommandError when the tables differ from the models."""
    _with_config(engine, command.check)


def current_revision(engine: Engine) -> str | None:
    """The revision that the tables have, None for an empty database."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def newest_revision() -> str:
    """The revision that this program needs."""
    head = ScriptDirectory(str(_MIGRATIONS)).get_current_head()
    if head is None:
        raise SchemaOutdated("the program holds no migrations")
    return head


def require_current(engine: Engine) -> None:
    """Raise SchemaOutdated unless the tables are current, CatalogUnavailable when nobody answers."""
    try:
        found = current_revision(engine)
    except SQLAlchemyError as error:
        raise CatalogUnavailable(f"the database does not answer ({type(error).__name__})") from error
    finally:
        engine.dispose()
    if found != newest_revision():
        raise SchemaOutdated(
            f"the tables are at revision {found or 'none'}, this program needs {newest_revision()}: "
            "run `image-gateway db upgrade`"
        )


def _with_config(engine: Engine, run: Callable[[Config], None]) -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    with engine.execution_options(sqlite_begin="BEGIN IMMEDIATE").begin() as connection:
        config.attributes["connection"] = connection
        run(config)
