"""`image-gateway share`: shares images with users and by link."""

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
    print_json,
    print_table,
    with_retries,
)

IMAGE = "6f1c1a5e-0f6c-4f9f-9d0a-1f4b1c6f2f10"
LINK = "0b9f3d52-8c1e-4f0e-9a55-6f8a2f2f7c31"
MAX_PAGE_SIZE = 1000
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def _parse_seconds(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    match = re.fullmatch(r"([1-9][0-9]{0,8})([smhdw])", value, re.ASCII) if value is not None else None
    if value is not None and match is None:
        raise click.BadParameter("must be a number followed by s, m, h, d or w, such as 7d")
    return int(match[1]) * _UNITS[match[2]] if match else None


@click.group(epilog=EXIT_STATUSES)
def share() -> None:
    """Share images with users or by link, and revoke shares."""


@share.command(epilog=f"Example: image-gateway share add {IMAGE} colleague")
@click.argument("image_id", metavar="IMAGE")
@click.argument("user_id", metavar="USER")
@click.option("--write", is_flag=True, help="Allow USER to write as well.")
@gateway_options
def add(image_id: str, user_id: str, write: bool, gateway: Gateway, as_json: bool) -> None:
    """Share IMAGE with USER, a user id of the identity provider.

    A private image becomes a shared one. Run the command again to change the permission.
    """
    client = gateway.client()
    made = with_retries(lambda: client.share(image_id, user_id, "write" if write else "read"))
    if as_json:
        print_json({"imageId": image_id, **made})
    else:
        click.echo(f"{one_line(user_id)} may {'read and write' if write else 'read'} {one_line(image_id)}")


@share.command(epilog=f"Example: image-gateway share remove {IMAGE} colleague")
@click.argument("image_id", metavar="IMAGE")
@click.argument("user_id", metavar="USER")
@gateway_options
def remove(image_id: str, user_id: str, gateway: Gateway, as_json: bool) -> None:
    """Revoke USER's share of IMAGE, effective immediately."""
    client = gateway.client()
    with_retries(lambda: client.unshare(image_id, user_id))
    if as_json:
        print_json({"imageId": image_id, "user": user_id, "removed": True})
    else:
        click.echo(f"revoked access of {one_line(user_id)} to {one_line(image_id)}")


@share.command("list", epilog=f"Example: image-gateway share list {IMAGE}")
@click.argument("image_id", metavar="IMAGE")
@gateway_options
def list_shares(image_id: str, gateway: Gateway, as_json: bool) -> None:
    """List the shares and share links of IMAGE."""
    client = gateway.client()
    shares = list(all_pages(partial(client.list_shares, image_id), "shares", limit=MAX_PAGE_SIZE))
    links = list(all_pages(partial(client.list_share_links, image_id), "shareLinks", limit=MAX_PAGE_SIZE))
    if as_json:
        print_json({"imageId": image_id, "shares": shares, "shareLinks": links})
        return
    print_table(
        ("USER", "MAY", "CREATED"),
        [[item.get(name) for name in ("user", "permission", "created")] for item in shares],
    )
    click.echo()
    print_table(("LINK", "LABEL", "USED", "EXPIRES", "CREATED"), map(_link_row, links))


@share.command(epilog=f"Example: image-gateway share link {IMAGE} --expires 7d --uses 5 > link.txt")
@click.argument("image_id", metavar="IMAGE")
@click.option(
    "--expires",
    callback=_parse_seconds,
    metavar="DURATION",
    help="Lifetime of the link, such as 12h or 7d.  [default: unlimited]",
)
@click.option(
    "--uses", type=click.IntRange(1), help="Number of times the link can be redeemed.  [default: unlimited]"
)
@click.option("--label", help="Reminds you whom the link was made for; receivers do not see it.")
@gateway_options
def link(
    image_id: str,
    expires: int | None,
    uses: int | None,
    label: str | None,
    gateway: Gateway,
    as_json: bool,
) -> None:
    """Create a share link: anyone who has its token can read IMAGE.

    The token is printed on stdout and cannot be retrieved later. Other messages go to stderr.
    """
    client = gateway.client()
    # Left out when it is not given: earlier gateways do not know it.
    named = {} if label is None else {"label": label}
    made = with_retries(lambda: client.make_share_link(image_id, ttlSeconds=expires, maxUses=uses, **named))
    if as_json:
        print_json({"imageId": image_id, **made})
        return
    click.echo(one_line(made["token"]))
    expiry = f"until {one_line(made['expiresAt'])}" if made.get("expiresAt") else "without expiry"
    click.echo(
        f"link {one_line(made.get('linkId'))}, {expiry}; anyone with the token can download:", err=True
    )
    click.echo("  image-gateway download --link-file FILE_WITH_THE_TOKEN -o disk.img", err=True)


@share.command(epilog=f"Example: image-gateway share unlink {IMAGE} {LINK}")
@click.argument("image_id", metavar="IMAGE")
@click.argument("link_id")
@gateway_options
def unlink(image_id: str, link_id: str, gateway: Gateway, as_json: bool) -> None:
    """Revoke a share link and all its leases; `share list` shows the LINK_ID."""
    client = gateway.client()
    with_retries(lambda: client.revoke_share_link(image_id, link_id))
    if as_json:
        print_json({"imageId": image_id, "linkId": link_id, "revoked": True})
    else:
        click.echo(f"revoked link {one_line(link_id)}")


def _link_row(record: dict[str, Any]) -> list[object]:
    limit = record.get("maxUses")
    used = f"{record.get('uses')} of {limit}" if limit else record.get("uses")
    return [record.get("linkId"), record.get("label"), used, record.get("expiresAt"), record.get("created")]
