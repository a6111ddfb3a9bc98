"""`image-gateway dev`: runs store, gateway, worker and optionally nginx locally until Ctrl-C."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import click

from image_gateway.cli.bucket import print_step
from image_gateway.cli.remote import one_line
from image_gateway.local.edge import require_nginx
from image_gateway.local.ports import is_free
from image_gateway.local.processes import StartFailed
from image_gateway.local.stack import DEFAULT_GATEWAY_PORT, running_stack


@click.command(epilog="Example: image-gateway dev --port 8080 --data /tmp/gateway")
@click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    default=".image-gateway",
    show_default=True,
    help="Directory for the store and the catalog.",
)
@click.option(
    "--port", envvar="PORT", type=click.IntRange(1, 65_535), default=DEFAULT_GATEWAY_PORT, show_default=True
)
@click.option(
    "--edge",
    envvar="EDGE",
    is_flag=True,
    help="Run nginx in front of the gateway, as in production. nginx must be installed.",
)
def dev(data: Path, port: int, edge: bool) -> None:
    """Run an embedded S3 store, the gateway and a worker until Ctrl-C. The data is kept.

    If S3_ENDPOINT is set, that store is used instead of the embedded one.
    """
    if edge:
        require_nginx()
    if not is_free(port):
        raise StartFailed(f"port {port} is taken (address already in use): choose another with --port")
    # Closing the terminal must stop the child processes, too.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with running_stack(
            data, os.environ, gateway_port=port, on_step=print_step, say=click.echo, with_edge=edge
        ) as stack:
            click.echo(f"gateway: {stack.gateway.url}, log in {one_line(stack.gateway.process.log)}")
            click.echo(f"worker: log in {one_line(data / 'worker.log')}")
            if stack.edge is not None:
                click.echo(f"nginx: {stack.edge.url}, logs in {one_line(data / 'edge')}")
            click.echo(f"console: {stack.url}/ (open it in a browser)")
            click.echo(
                f"try: curl -X POST -H 'X-User-Id: me' {stack.url}/v1/images\n"
                f"environment for other commands: . {one_line(data / 'env')}\npress Ctrl-C to stop"
            )
            status = stack.gateway.process.wait()
            raise StartFailed(
                f"the gateway exited unexpectedly with status {status}: see {stack.gateway.process.log}"
            )
    except KeyboardInterrupt:
        click.echo("stopped")
