"""`image-gateway nbd`: exports the writable disk of a delta."""

from __future__ import annotations

import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import AF_UNIX, socket
from urllib.parse import quote

import click

from image_gateway.cli.progress import Terminal
from image_gateway.cli.remote import EX_FAILED, EX_TEMPORARY, Gateway, gateway_options, print_json
from image_gateway.client.deltas.disk import DeltaDisk
from image_gateway.client.deltas.export import DeltaExport
from image_gateway.client.deltas.session import Fenced
from image_gateway.client.errors import ApiError, PatienceOver, Stopped
from image_gateway.client.retry import Retrier
from image_gateway.nbd.disk_commands import DiskCommands, export_of
from image_gateway.nbd.listener import NotLoopback, tcp_listener, unix_listener
from image_gateway.nbd.server import NbdServer

EX_FENCED = 77
_ADDRESS = re.compile(r"(?:\[(?P<ip6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\s\[\]:]+)):(?P<port>[0-9]{1,5})", re.ASCII)

Address = tuple[str, int]


def _parse_address(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Address | None:
    if value is None:
        return None
    found = _ADDRESS.fullmatch(value)
    if found is None or int(found["port"]) > 65_535:
        raise click.BadParameter("must be HOST:PORT or [IPV6]:PORT")
    return found["ip6"] or found["host"], int(found["port"])


@click.command(
    epilog="Example: image-gateway nbd 6f1c1a5e-0f6c-4f9f-9d0a-1f4b1c6f2f10 --socket disk.sock\n\n"
    "Exit status: 0 all that was written is committed, 1 it is not, 2 wrong usage, 75 it is not because of a "
    "temporary failure (retries timed out), 77 another writer took over, 78 invalid configuration."
)
@click.argument("delta_id", metavar="DELTA")
@click.option(
    "--socket",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="PATH",
    help="Listen on this Unix socket, which only you can open.",
)
@click.option(
    "--address",
    callback=_parse_address,
    metavar="HOST:PORT",
    help="Listen on this TCP address; port 0 is any free one.",
)
@click.option("--allow-remote", is_flag=True, help="Allow an --address that other machines can reach.")
@click.option(
    "--flush-seconds",
    type=click.FloatRange(0.1, 3600),
    default=5,
    show_default=True,
    help="Commit what was written at least so often, even if no client flushes.",
)
@click.option(
    "--patience",
    type=click.FloatRange(0),
    default=60,
    show_default=True,
    help="Seconds to retry a read or a commit while the gateway is unavailable; after that the client gets "
    "an error.",
)
@click.option(
    "-v",
    "--verbose",
    is_flag=True,
    help="Print a line of status every --flush-seconds if there were commits.",
)
@gateway_options
def nbd(
    delta_id: str,
    path: Path | None,
    address: Address | None,
    allow_remote: bool,
    flush_seconds: float,
    patience: float,
    verbose: bool,
    gateway: Gateway,
    as_json: bool,
) -> None:
    """Export the writable disk of DELTA with the NBD protocol, for QEMU, nbdfuse, nbdcopy or nbd-client.

    A flush is a commit: when it is answered, everything that was written before it is stored. What was
    written since is lost if this process is killed. On SIGTERM and SIGINT it is committed first; a second
    signal gives that up.

    This process becomes the only writer of DELTA. When another one takes over, clients get errors, and the
    command ends with status 77: what was not committed is not stored.

    Whoever can connect can read and write the disk. There is neither TLS nor authentication, so --address
    accepts addresses of the loopback interface only, unless --allow-remote is given.
    """
    if (path is None) == (address is None):
        raise click.UsageError("give either --socket or --address")
    say = Terminal().say
    over = threading.Event()
    retrier = Retrier(patience, say=say)
    # Before the session: a socket that cannot be had fences no other writer.
    with _listening(path, address, allow_remote) as listener:
        disk = DeltaDisk(gateway.client(), delta_id, retrier=retrier)
        _end_on_signals(over, retrier.stop)
        _announce(disk, delta_id, _uri(listener), as_json)
        status = export_disk(
            disk, delta_id, listener, over=over, flush_seconds=flush_seconds, say=say, verbose=verbose
        )
    sys.exit(status)


def export_disk(
    disk: DeltaDisk,
    delta_id: str,
    listener: socket,
    *,
    over: threading.Event,
    flush_seconds: float,
    say: Callable[[str], None],
    verbose: bool = False,
) -> int:
    """Serve a delta's disk until `over` is set, which another writer does as well, and close it.

    Returns:
        The command's exit status.
    """
    export = DeltaExport(disk, over=over, say=say)
    with (
        NbdServer(listener, export_of(disk, delta_id), DiskCommands(disk, export.errno_of), say=say),
        export.committing(flush_seconds, report=say if verbose else None),
    ):
        over.wait()
    return _close(disk, export.is_fenced, say)


@contextmanager
def _listening(path: Path | None, address: Address | None, allow_remote: bool) -> Iterator[socket]:
    if path is not None:
        with unix_listener(path) as listener:
            yield listener
        return
    assert address is not None  # noqa: S101  # one of both was given
    try:
        opened = tcp_listener(*address, allow_remote=allow_remote)
        with opened as listener:
            yield listener
    except NotLoopback as error:
        raise click.UsageError(f"{error}: to allow that, give --allow-remote") from None


def _end_on_signals(over: threading.Event, give_up: threading.Event) -> None:
    """Let the first signal set `over`, and the next one `give_up`; to be called before other threads start.

    A thread waits for them: a handler runs in the main thread only, which a signal does not wake up from
    waiting for a lock if another thread received it.
    """
    numbers = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, numbers)

    def wait_for_signals() -> None:
        for event in (over, give_up):
            signal.sigwait(numbers)
            event.set()

    threading.Thread(target=wait_for_signals, name="signals", daemon=True).start()


def _uri(listener: socket) -> str:
    """Return the listener's NBD URI, see https://github.com/NetworkBlockDevice/nbd/blob/master/doc/uri.md."""
    name = listener.getsockname()
    if listener.family == AF_UNIX:
        return f"nbd+unix:///?socket={quote(str(Path(name).absolute()))}"
    host, port = name[:2]
    return f"nbd://[{host}]:{port}" if ":" in host else f"nbd://{host}:{port}"


def _announce(disk: DeltaDisk, delta_id: str, uri: str, as_json: bool) -> None:
    if as_json:
        facts = {"sizeBytes": disk.size, "blockSize": disk.block_size, "generation": disk.generation}
        print_json({"deltaId": delta_id, "uri": uri, **facts})
    else:
        click.echo(uri)
    sys.stdout.flush()


def _close(disk: DeltaDisk, is_fenced: bool, say: Callable[[str], None]) -> int:
    """Commit what is left, say whether that succeeded, and return the exit status."""
    try:
        if not is_fenced:
            disk.close()
            return 0
        reason, status = "another writer took over", EX_FENCED
    except Fenced as error:
        reason, status = str(error), EX_FENCED
    except Stopped:
        reason, status = "interrupted", EX_FAILED
    except ApiError as error:
        is_temporary = error.retryable or isinstance(error, PatienceOver)
        reason, status = str(error), EX_TEMPORARY if is_temporary else EX_FAILED
    say(f"image-gateway: {disk.unsafe_bytes} bytes were not stored: {reason}")
    return status
