"""A TCP proxy before a store that adds latency, but does not limit the bandwidth; it may edit answers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

BLOCK = 256 * 1024
# Requests that are on their way at once, by connection.
MAX_PENDING = 64


@contextmanager
def delayed_store(
    target: tuple[str, int], seconds: float, edit: Callable[[bytes], bytes] = bytes
) -> Iterator[str]:
    """Forward connections to `target`; requests arrive `seconds` late. Yields the proxy's URL.

    What `edit` returns for a block of an answer is sent in its place.
    """
    loop = asyncio.new_event_loop()
    forwarding = _Forwarding(target, seconds, edit)
    server = loop.run_until_complete(asyncio.start_server(forwarding, "127.0.0.1", 0))
    port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.run_until_complete(_end_tasks(loop))
        loop.close()


async def _end_tasks(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel the connections that are still open, and wait for their end."""
    tasks = asyncio.all_tasks(loop) - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class _Forwarding:
    def __init__(self, target: tuple[str, int], seconds: float, edit: Callable[[bytes], bytes]) -> None:
        self._target = target
        self._seconds = seconds
        self._edit = edit

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            store_reader, store_writer = await asyncio.open_connection(*self._target)
            await asyncio.gather(
                self._pump(reader, store_writer, self._seconds, bytes),
                self._pump(store_reader, writer, 0, self._edit),
            )

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        seconds: float,
        edit: Callable[[bytes], bytes],
    ) -> None:
        pending: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(MAX_PENDING)
        sending = asyncio.create_task(self._send(pending, writer))
        clock = asyncio.get_running_loop().time
        with suppress(OSError):
            while block := await reader.read(BLOCK):
                await pending.put((clock() + seconds, edit(block)))
        await pending.put((0, b""))
        await sending

    async def _send(self, pending: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        clock = asyncio.get_running_loop().time
        with suppress(OSError):
            while True:
                due, block = await pending.get()
                if not block:
                    break
                await asyncio.sleep(max(0, due - clock()))
                writer.write(block)
                await writer.drain()
        writer.close()
