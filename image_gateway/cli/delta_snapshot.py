"""`image-gateway delta snapshot`: names generations, which are kept for as long as the name."""

from __future__ import annotations

import click

from image_gateway.cli.delta import DELTA, generation_option
from image_gateway.cli.remote import (
    Gateway,
    gateway_options,
    one_line,
    print_json,
    print_table,
    with_retries,
)
from image_gateway.client.deltas.calls import DeltasClient


@click.command(
    epilog=f"Example: image-gateway delta snapshot {DELTA} 'before the upgrade'; "
    f"image-gateway delta snapshot {DELTA} --list"
)
@click.argument("delta_id", metavar="DELTA")
@click.argument("name", required=False)
@generation_option
@click.option("--list", "listed", is_flag=True, help="List the snapshots of DELTA instead.")
@click.option(
    "--delete", "deleted", metavar="SNAPSHOT", help="Delete this snapshot instead; --list shows its id."
)
@gateway_options
def snapshot(
    delta_id: str,
    name: str | None,
    generation: int | None,
    listed: bool,
    deleted: str | None,
    gateway: Gateway,
    as_json: bool,
) -> None:
    """Keep a generation of DELTA under NAME, however much is written later."""
    if [name is not None, listed, deleted is not None].count(True) != 1:
        raise click.UsageError("give one of NAME, --list and --delete SNAPSHOT")
    if generation is not None and name is None:
        raise click.UsageError("--generation goes with NAME only")
    client = DeltasClient(gateway.client())
    if listed:
        _list(client, delta_id, as_json)
    elif deleted is not None:
        _delete(client, delta_id, deleted, as_json)
    else:
        _make(client, delta_id, str(name), generation, as_json)


def _make(client: DeltasClient, delta_id: str, name: str, generation: int | None, as_json: bool) -> None:
    made = with_retries(lambda: client.make_snapshot(delta_id, name, generation))
    if as_json:
        print_json({"deltaId": delta_id, **made})
    else:
        click.echo(
            f"snapshot {one_line(made.get('snapshotId'))} of generation {one_line(made.get('generation'))}"
        )


def _list(client: DeltasClient, delta_id: str, as_json: bool) -> None:
    found = with_retries(lambda: client.snapshots(delta_id))["snapshots"]
    if as_json:
        print_json({"deltaId": delta_id, "snapshots": found})
        return
    names = ("snapshotId", "name", "generation", "created")
    print_table(
        ("SNAPSHOT", "NAME", "GENERATION", "CREATED"),
        [[snapshot.get(name) for name in names] for snapshot in found],
    )


def _delete(client: DeltasClient, delta_id: str, snapshot_id: str, as_json: bool) -> None:
    with_retries(lambda: client.delete_snapshot(delta_id, snapshot_id))
    if as_json:
        print_json({"deltaId": delta_id, "snapshotId": snapshot_id, "deleted": True})
    else:
        click.echo(f"deleted snapshot {one_line(snapshot_id)}")
