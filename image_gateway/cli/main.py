"""Entry point of the command `image-gateway`."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import click
from alembic.util.exc import CommandError
from dotenv import load_dotenv
from sqlalchemy.exc import SQLAlchemyError

from image_gateway.catalog.database import DatabaseUrlError, SchemaOutdated
from image_gateway.cli.bucket import bucket
from image_gateway.cli.check import check
from image_gateway.cli.cloudfront import cloudfront
from image_gateway.cli.config import config
from image_gateway.cli.db import db
from image_gateway.cli.db_wait import wait
from image_gateway.cli.delta import delta
from image_gateway.cli.delta_export import export
from image_gateway.cli.delta_snapshot import snapshot
from image_gateway.cli.demo import demo
from image_gateway.cli.dev import dev
from image_gateway.cli.doctor import doctor
from image_gateway.cli.download import download
from image_gateway.cli.edge import edge
from image_gateway.cli.images import images
from image_gateway.cli.jobs import empty_image, import_image, jobs
from image_gateway.cli.nbd import nbd
from image_gateway.cli.publish import publish
from image_gateway.cli.remote import EX_CONFIG, EX_FAILED, EX_TEMPORARY, ConfigError
from image_gateway.cli.serve import serve
from image_gateway.cli.sessions import sessions
from image_gateway.cli.share import share
from image_gateway.cli.sweep import sweep
from image_gateway.cli.trace import trace
from image_gateway.cli.upload import upload
from image_gateway.cli.verify import verify_command
from image_gateway.cli.worker import worker
from image_gateway.client.errors import ApiError, ClientError, PatienceOver
from image_gateway.errors import CatalogUnavailable, GatewayError, StoreError, StoreUnavailable
from image_gateway.local.processes import StartFailed
from image_gateway.protocol.printable import escape_unprintable
from image_gateway.settings import SettingsError


class _Commands(click.Group):
    """Escapes control characters in usage errors, which may quote arguments such as file names."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            message = error.format_message()
            escaped = escape_unprintable(message, keep="\n")
            if escaped == message:
                raise
            raise click.UsageError(escaped, error.ctx) from None


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Settings come from the environment and .env; `image-gateway config` shows them.",
)
@click.version_option(package_name="image-gateway")
def cli() -> None:
    """Upload disk images to S3 and stream them privately to browsers."""


_DOCTOR = "  to see the cause: image-gateway doctor --only"
_COMMANDS = (
    serve,
    worker,
    edge,
    dev,
    demo,
    config,
    doctor,
    db,
    bucket,
    cloudfront,
    publish,
    trace,
    sessions,
    sweep,
    upload,
    download,
    images,
    delta,
    jobs,
    nbd,
    share,
    check,
    verify_command,
)
for command in _COMMANDS:
    cli.add_command(command)
db.add_command(wait)
images.add_command(import_image)
images.add_command(empty_image)
delta.add_command(snapshot)
delta.add_command(export)


def main() -> None:
    """Run the command line; expected errors are printed as one message without a traceback."""
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
    load_dotenv(Path(".env"))
    try:
        cli()
    except (SettingsError, ConfigError) as error:
        _exit_with(str(error), EX_CONFIG)
    except DatabaseUrlError as error:
        _exit_with(f"DATABASE_URL {error}", EX_CONFIG)
    except ApiError as error:
        is_temporary = error.retryable or isinstance(error, PatienceOver)
        _exit_with(escape_unprintable(str(error)), EX_TEMPORARY if is_temporary else EX_FAILED)
    except ClientError as error:
        _exit_with("\n".join(map(escape_unprintable, [str(error), *error.advice])), EX_FAILED)
    except CatalogUnavailable as error:
        _exit_with(f"{escape_unprintable(str(error))}\n{_DOCTOR} database", EX_FAILED)
    except (StoreError, StoreUnavailable) as error:
        _exit_with(f"{escape_unprintable(str(error))}\n{_DOCTOR} store", EX_FAILED)
    except GatewayError as error:
        _exit_with(escape_unprintable(str(error)), EX_FAILED)
    except (StartFailed, SchemaOutdated, CommandError) as error:
        _exit_with(str(error), EX_FAILED)
    except SQLAlchemyError as error:
        # The message may contain the database URL.
        _exit_with(f"the database cannot be used ({type(error).__name__})\n{_DOCTOR} database", EX_FAILED)
    except OSError as error:
        # Output that cannot be written has no file name.
        place = "" if error.filename is None else f": {error.filename}"
        _exit_with(escape_unprintable(f"{error.strerror}{place}"), EX_FAILED)


def _exit_with(message: str, status: int) -> None:
    """Print a message, in which only line breaks are not escaped, and exit."""
    click.echo("image-gateway: " + escape_unprintable(message, keep="\n"), err=True)
    sys.exit(status)
