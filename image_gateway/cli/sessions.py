"""`image-gateway sessions`: shows and ends the sessions of a user's browsers."""

from __future__ import annotations

import time
from datetime import datetime

import click

from image_gateway.cli.remote import one_line
from image_gateway.components import open_catalog
from image_gateway.domain.clock import now_of
from image_gateway.serving.environment import read_settings


@click.group()
def sessions() -> None:
    """Show and end the sessions of browsers that signed in."""


@sessions.command("list", epilog="Example: image-gateway sessions list alice")
@click.argument("user")
def list_sessions(user: str) -> None:
    """List the sessions of USER, newest first."""
    found = open_catalog(read_settings()).sessions.of_user(user)
    now = now_of(time.time)
    for session in found:
        facts = [f"signed in {_minute(session.created_at)}", f"last used {_minute(session.last_used_at)}"]
        facts.append("expired" if session.expires_at <= now else f"ends {_minute(session.expires_at)}")
        click.echo(", ".join([*facts, *(["admin"] if session.admin else [])]))
    if not found:
        click.echo(f"{one_line(user)} has no sessions")


@sessions.command("end", epilog="Example: image-gateway sessions end alice")
@click.argument("user")
def end_sessions(user: str) -> None:
    """End all sessions of USER, at once and on every worker.

    Bearer tokens, leases and share links are not affected.
    """
    ended = open_catalog(read_settings()).sessions.end_of_user(user)
    click.echo(f"ended {ended} sessions of {one_line(user)}")


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
