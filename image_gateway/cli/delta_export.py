"""`image-gateway delta export`: writes base and delta to a file, with resume."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from pathlib import Path

import click

from image_gateway.cli.delta import DELTA, generation_option
from image_gateway.cli.progress import Terminal, human_size
from image_gateway.cli.remote import (
    EX_INTERRUPTED,
    Gateway,
    gateway_options,
    one_line,
    output_option,
    print_json,
    transfer_options,
)
from image_gateway.client.deltas.calls import DeltasClient
from image_gateway.client.deltas.source import DeltaSource
from image_gateway.client.download import Downloaded, Downloading
from image_gateway.client.retry import Retrier


@click.command(epilog=f"Example: image-gateway delta export {DELTA} -o disk.img --generation 7")
@click.argument("delta_id", metavar="DELTA")
@output_option("export")
@generation_option
@gateway_options
@transfer_options
def export(
    delta_id: str,
    output: Path,
    generation: int | None,
    gateway: Gateway,
    as_json: bool,
    parallel: int,
    patience: float,
) -> None:
    """Write the disk of DELTA and the image below it to a sparse raw file.

    The file has the contents of one generation, whatever is written meanwhile. An interrupted export is kept
    in FILE.part and FILE.part.json. Run the command that it prints to resume it.
    """
    terminal = Terminal()
    retrier = Retrier(patience, say=terminal.say)
    deltas = DeltasClient(gateway.client(connections=parallel + 1))
    command = ["image-gateway", "delta", "export", delta_id, "-o", str(output)]
    try:
        newest = int(retrier.call(lambda: deltas.delta(delta_id))["generation"])
        pinned = newest if generation is None else generation
        command += ["--generation", str(pinned), *gateway.options()]
        done = Downloading(
            DeltaSource(deltas, delta_id, pinned),
            output,
            retrier=retrier,
            parallel=parallel,
            progress=terminal,
            sparse=True,
        ).run()
    except KeyboardInterrupt:
        terminal.say(f"interrupted; to resume: {shlex.join(command)}")
        sys.exit(EX_INTERRUPTED)
    _print_result(done, pinned, output, as_json)


def _print_result(done: Downloaded, generation: int, output: Path, as_json: bool) -> None:
    if as_json:
        facts = asdict(done)
        # The gateway has no SHA-256 to compare with.
        del facts["checked"]
        identity = {"deltaId": facts.pop("source_id"), "generation": generation}
        print_json({**identity, "file": str(output), **facts})
        return
    click.echo(f"{one_line(output)}, {human_size(done.size)}, generation {generation}")
    click.echo(f"sha256 {done.sha256}")
