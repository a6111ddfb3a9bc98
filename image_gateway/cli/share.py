"""`image-gateway share`: who else may read an image, by name or by a link."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import click

from image_gateway.cli.remote import (
    EXIT_STATUSES,
    Gateway,
    all_pages,
    gateway_options,
    one_line,
    patiently,
    print_json,
    print_table,
)

IMAGE = "6f1c1a5e-0f6c-4f9f-9d0a-1f4b1c6f2f10"
LINK = "0b9f3d52-8c1e-4f0e-9a55-6f8a2f2f7c31"
LARGEST_PAGE = 1000
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def _seconds(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    match = re.fullmatch(r"([1-9][0-9]{0,8})([smhdw])", value, re.ASCII) if value is not None else None
    if value is not None and match is None:
        raise click.BadParameter("must be a number and one of s, m, h, d, w, such as 7d")
    return int(match[1]) * _UNITS[match[2]] if match else None


@click.group(epilog=EXIT_STATUSES)
def share() -> None:
    """Let others read an image, by name or by a link, and take it back."""


@share.command(epilog=f"Example: image-gateway share add {IMAGE} colleague")
@click.argument("image_id", metavar="IMAGE")
@click.argument("user_id", metavar="USER")
@click.option("--write", is_flag=True, help="Let USER write, too.")
@gateway_options
def add(image_id: str, user_id: str, write: bool, gateway: Gateway, as_json: bool) -> None:
    """Let USER, as the identity provider names them, read IMAGE.

    A private image becomes a shared one. Repeating it changes what USER may do.
    """
    client = gateway.client()
    made = patiently(lambda: client.share(image_id, user_id, "write" if write else "read"))
    if as_json:
        print_json({"imageId": image_id, **made})
    else:
        click.echo(f"{one_line(user_id)} may {'read and write' if write else 'read'} {one_line(image_id)}")


@share.command(epilog=f"Example: image-gateway share remove {IMAGE} colleague")
@click.argument("image_id", metavar="IMAGE")
@click.argument("user_id", metavar="USER")
@gateway_options
def remove(image_id: str, user_id: str, gateway: Gateway, as_json: bool) -> None:
    """Let USER into IMAGE no longer, at once."""
    client = gateway.client()
    patiently(lambda: client.unshare(image_id, user_id))
    if as_json:
        print_json({"imageId": image_id, "user": user_id, "removed": True})
    else:
        click.echo(f"{one_line(user_id)} is not let into {one_line(image_id)} any more")


@share.command("list", epilog=f"Example: image-gateway share list {IMAGE}")
@click.argument("image_id", metavar="IMAGE")
@gateway_options
def list_shares(image_id: str, gateway: Gateway, as_json: bool) -> None:
    """List the users and the links that are let into IMAGE."""
    client = gateway.client()
    shares = list(all_pages(partial(client.list_shares, image_id), "shares", limit=LARGEST_PAGE))
    links = list(all_pages(partial(client.list_share_links, image_id), "shareLinks", limit=LARGEST_PAGE))
    if as_json:
        print_json({"imageId": image_id, "shares": shares, "shareLinks": links})
        return
    print_table(
        ("USER", "MAY", "CREATED"),
        [[item.get(name) for name in ("user", "permission", "created")] for item in shares],
    )
    click.echo()
    print_table(("LINK", "USED", "EXPIRES", "CREATED"), map(_link_row, links))


@share.command(epilog=f"Example: image-gateway share link {IMAGE} --expires 7d --uses 5 > link.txt")
@click.argument("image_id", metavar="IMAGE")
@click.option(
    "--expires",
    callback=_seconds,
    metavar="DURATION",
    help="How long it holds, such as 12h or 7d.  [default: no end]",
)
@click.option("--uses", type=click.IntRange(1), help="How often it can be redeemed.  [default: no limit]")
@gateway_options
def link(image_id: str, expires: int | None, uses: int | None, gateway: Gateway, as_json: bool) -> None:
    """Make a link that lets whoever has it read IMAGE.

    Its token is printed on stdout, this once and never again; what else there is to say goes to stderr.
    """
    client = gateway.client()
    made = patiently(lambda: client.make_share_link(image_id, ttlSeconds=expires, maxUses=uses))
    if as_json:
        print_json({"imageId": image_id, **made})
        return
    click.echo(one_line(made["token"]))
    bounds = f"until {one_line(made['expiresAt'])}" if made.get("expiresAt") else "with no end"
    click.echo(
        f"link {one_line(made.get('linkId'))}, {bounds}; whoever has the token can download:", err=True
    )
    click.echo("  image-gateway download --link-file FILE_WITH_THE_TOKEN -o disk.img", err=True)


@share.command(epilog=f"Example: image-gateway share unlink {IMAGE} {LINK}")
@click.argument("image_id", metavar="IMAGE")
@click.argument("link_id")
@gateway_options
def unlink(image_id: str, link_id: str, gateway: Gateway, as_json: bool) -> None:
    """Take a link back by the LINK_ID that `share list` shows, and who is reading by it with it."""
    client = gateway.client()
    patiently(lambda: client.revoke_share_link(image_id, link_id))
    if as_json:
        print_json({"imageId": image_id, "linkId": link_id, "revoked": True})
    else:
        click.echo(f"link {one_line(link_id)} holds no longer")


def _link_row(record: dict[str, Any]) -> list[object]:
    limit = record.get("maxUses")
    used = f"{record.get('uses')} of {limit}" if limit else record.get("uses")
    return [record.get("linkId"), used, record.get("expiresAt"), record.get("created")]
