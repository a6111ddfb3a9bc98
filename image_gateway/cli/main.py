"""The command `image-gateway`."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import click
from dotenv import load_dotenv
from sqlalchemy.exc import SQLAlchemyError

from image_gateway.catalog.database import DatabaseUrlError, SchemaOutdated
from image_gateway.cli.bucket import bucket
from image_gateway.cli.config import config
from image_gateway.cli.db import db
from image_gateway.cli.demo import demo
from image_gateway.cli.dev import dev
from image_gateway.cli.download import download
from image_gateway.cli.edge import edge
from image_gateway.cli.images import images
from image_gateway.cli.publish import publish
from image_gateway.cli.remote import EX_CONFIG, EX_FAILED, EX_TEMPORARY, ConfigError
from image_gateway.cli.serve import serve
from image_gateway.cli.share import share
from image_gateway.cli.sweep import sweep
from image_gateway.cli.upload import upload
from image_gateway.client.errors import ApiError, ClientError, PatienceOver
from image_gateway.errors import GatewayError
from image_gateway.local.processes import StartFailed
from image_gateway.protocol.printable import escape_unprintable
from image_gateway.settings import SettingsError


class _Commands(click.Group):
    """Shows wrong usage without what its arguments, such as names of files, could do to a terminal."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            message = error.format_message()
            harmless = escape_unprintable(message, keep="\n")
            if harmless == message:
                raise
            raise click.UsageError(harmless, error.ctx) from None


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Settings come from the environment and .env; `image-gateway config` shows them.",
)
@click.version_option(package_name="image-gateway")
def cli() -> None:
    """Upload disk images to S3 and stream them privately to browsers."""


for command in (serve, edge, dev, demo, config, db, bucket, publish, sweep, upload, download, images, share):
    cli.add_command(command)


def main() -> None:
    """Run the command line; a mistake of the environment or the store is one clear message, no trace."""
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
    load_dotenv(Path(".env"))
    try:
        cli()
    except (SettingsError, ConfigError) as error:
        _leave(str(error), EX_CONFIG)
    except DatabaseUrlError as error:
        _leave(f"DATABASE_URL {error}", EX_CONFIG)
    except ApiError as error:
        may_pass = error.retryable or isinstance(error, PatienceOver)
        _leave(escape_unprintable(str(error)), EX_TEMPORARY if may_pass else EX_FAILED)
    except ClientError as error:
        _leave("\n".join(map(escape_unprintable, [str(error), *error.advice])), EX_FAILED)
    except GatewayError as error:
        _leave(escape_unprintable(str(error)), EX_FAILED)
    except (StartFailed, SchemaOutdated) as error:
        _leave(str(error), EX_FAILED)
    except SQLAlchemyError as error:
        # Its own text may hold the URL.
        _leave(f"the database cannot be used ({type(error).__name__})", EX_FAILED)
    except OSError as error:
        _leave(escape_unprintable(f"{error.strerror}: {error.filename}"), EX_FAILED)


def _leave(message: str, status: int) -> None:
    """Exit with one message, whose line breaks are our own."""
    click.echo("image-gateway: " + escape_unprintable(message, keep="\n"), err=True)
    sys.exit(status)
