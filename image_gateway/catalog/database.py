"""Creates the catalog's SQLAlchemy engine and runs its Alembic migrations."""

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
    """The database URL is invalid; the message gives the reason and never contains the password."""


class SchemaOutdated(Exception):
    """The tables are missing or at an older revision than this program needs."""


def open_engine(database_url: str, *, pool_size: int = 32, timeout: int | None = None) -> Engine:
    """Create the engine without connecting.

    For SQLite, the parent folder is created. For PostgreSQL, pooled connections are tested before use.

    Args:
        timeout: Statement timeout for PostgreSQL in seconds; None (used by migrations) disables it.

    Raises:
            DatabaseUrlError: The URL is invalid, its driver is missing or its folder cannot be created.
    """
    try:
        url = make_url(database_url)
        backend = url.get_backend_name()
        if backend == "sqlite":
            return open_sqlite(url, pool_size)
    except (ArgumentError, NoSuchModuleError, ValueError):
        # The original message may contain the password.
        raise DatabaseUrlError("is not a database URL such as sqlite:///catalog.db") from None
    except OSError as error:
        raise DatabaseUrlError(f"names a folder that cannot be created: {error.strerror}") from error
    if backend != "postgresql":
        raise DatabaseUrlError("must be a sqlite or postgresql URL")
    try:
        # The driver is an optional dependency.
        from image_gateway.catalog.postgres import open_postgres

        return open_postgres(url, pool_size, timeout)
    except (NoSuchModuleError, ValueError):
        raise DatabaseUrlError("is not a database URL such as sqlite:///catalog.db") from None
    except ModuleNotFoundError as error:
        raise DatabaseUrlError(f"needs the driver {error.name}: install image-gateway[postgres]") from error


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Upgrade the tables to `revision`. Concurrent upgrades by several processes are safe."""
    _with_config(engine, lambda config: command.upgrade(config, revision))


def downgrade(engine: Engine, revision: str) -> None:
    """Downgrade the tables to an older revision. Data that the older schema cannot hold is lost."""
    _with_config(engine, lambda config: command.downgrade(config, revision))


def check_drift(engine: Engine) -> None:
    """Raise alembic's CommandError if the tables differ from the models."""
    _with_config(engine, command.check)


def current_revision(engine: Engine) -> str | None:
    """Return the revision of the tables, or None for an empty database."""
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def newest_revision() -> str:
    """Return the revision that this program needs."""
    head = ScriptDirectory(str(_MIGRATIONS)).get_current_head()
    if head is None:
        raise SchemaOutdated("the installation contains no migrations")
    return head


def require_current(engine: Engine) -> None:
    """Check that the tables are at the newest revision.

    Raises:
        SchemaOutdated: The tables are missing or at another revision.
        CatalogUnavailable: The database does not answer.
    """
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
