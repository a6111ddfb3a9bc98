"""The servers that are compared: the store, nginx before it, gateways and edges; all on loopback."""

from __future__ import annotations

import os
import random
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from streaming_edge import HOST, WORKERS, Edge, run_nginx
from streaming_plan import MIB, ControlCall, control_calls

from image_gateway.catalog.database import open_engine, upgrade
from image_gateway.client.api import GatewayClient
from image_gateway.client.upload import upload_file
from image_gateway.local.gateway import LocalGateway, start_gateway
from image_gateway.local.ports import find_free_ports
from image_gateway.local.seaweed import LocalStore, start_local_store
from image_gateway.storage.client import StoreClients

STORE, NGINX, GATEWAY, CACHE, CONTROL = "store", "nginx", "gateway", "gateway-cache", "control"
EDGE, UNCACHED, EMPTY = "edge", "edge-uncached", "edge-empty"
EDGES = (EDGE, UNCACHED, EMPTY)
SERVERS = (STORE, NGINX, GATEWAY, CACHE, *EDGES, CONTROL)
USER, BUCKET = "bench", "images"
LISTED_IMAGES = 50
URL_SECONDS = 12 * 3600


@dataclass(frozen=True)
class Server:
    """A running server: where it has the image, and the roots of its processes.

    An `edge` has nginx first among them, and then the gateway behind it.
    """

    name: str
    port: int
    target: str
    pids: tuple[int, ...]
    edge: Edge | None = None

    @property
    def address(self) -> tuple[str, int]:
        return HOST, self.port

    @property
    def host(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}{self.target}"

    def emptied(self) -> Server:
        """An edge anew, with nothing in its cache."""
        assert self.edge is not None
        self.edge.restart_empty()
        return replace(self, pids=(self.edge.pid, *self.pids[1:]))


@dataclass(frozen=True)
class Bench:
    """Everything that runs; `control_calls` are for the server `control`."""

    servers: dict[str, Server]
    control_calls: list[ControlCall]
    store_pid: int


def find_tool(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def write_image(path: Path, size: int) -> None:
    """A file of random bytes, the same each time."""
    dice = random.Random(1)
    with path.open("wb") as target:
        for _ in range(size // MIB):
            target.write(dice.randbytes(MIB))


@contextmanager
def running_servers(
    folder: Path, image: Path, wanted: Collection[str], extra: Mapping[str, str], say: Callable[[str], None]
) -> Iterator[Bench]:
    """Start the `wanted` servers, send the image to the store, and stop everything on leaving."""
    with ExitStack() as stack:
        say("starting the store")
        store = start_local_store(folder / "store", bucket=BUCKET)
        stack.callback(store.stop)
        environment = _environment(folder, store) | dict(extra)
        upgrade(open_engine(environment["DATABASE_URL"]))

        def start(name: str, **more: str) -> LocalGateway:
            say(f"starting {name}")
            gateway = start_gateway(
                environment | more,
                port=find_free_ports(1)[0],
                log=folder / f"{name}.log",
                cwd=folder,
            )
            stack.callback(gateway.stop, 2)
            return gateway

        cold = start(GATEWAY)
        client = GatewayClient(cold.url, USER)
        say("uploading the image")
        image_id = upload_file(client, image, parallel=2, on_bytes=lambda _: None).image_id
        servers = {STORE: _server(STORE, presigned_url(store), store.process.pid)}
        servers[GATEWAY] = _gateway_server(GATEWAY, cold, image_id)
        if NGINX in wanted:
            servers[NGINX] = _start_nginx(stack, folder / "nginx", servers[STORE])
        if CACHE in wanted:
            cached = start(CACHE, RANGE_CACHE_DIR=str(folder / "cache"))
            servers[CACHE] = _gateway_server(CACHE, cached, image_id)
        if edges := [name for name in EDGES if name in wanted]:
            token = {"EDGE_TOKEN": secrets.token_hex(32), "TRUSTED_PROXY_HOPS": "1"}
            behind = start("behind-edges", **token)
            for name in edges:
                say(f"starting {name}")
                more = {"EDGE_GATEWAY": behind.url.removeprefix("http://"), **_edge_variables(name), **token}
                edge = Edge(environment | more, store.address, folder / name, count_fetches=name == EMPTY)
                stack.callback(edge.stop)
                servers[name] = _edge_server(name, edge, behind, image_id)
        calls: list[ControlCall] = []
        if CONTROL in wanted:
            control = start(CONTROL, **cloudfront_variables())
            servers[CONTROL] = _server(CONTROL, control.url, control.process.pid)
            uploads = [client.create_image(name=f"disk {number}") for number in range(LISTED_IMAGES)]
            calls = control_calls(image_id, uploads[0].image_id, uploads[0].upload_id)
        yield Bench({name: servers[name] for name in SERVERS if name in wanted}, calls, store.process.pid)


def _environment(folder: Path, store: LocalStore) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        **store.environment,
        "DATABASE_URL": f"sqlite:///{folder}/catalog.db",
        "AUTH_MODE": "dev",
        "LEASE_KEYS": f"bench:{os.urandom(32).hex()}",
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "info",
        "RATE_LIMIT_CREATE": "100000/minute",
        "RATE_LIMIT_PER_ADDRESS": "1000000/minute",
        "WEB_WORKERS": "2",
        "WEB_THREADS": "32",
    }


def _edge_variables(name: str) -> dict[str, str]:
    return {"EDGE_CACHE_MAX_BYTES": "0"} if name == UNCACHED else {}


def cloudfront_variables() -> dict[str, str]:
    """Of a distribution that nobody asks, with a key made now."""
    pem = generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return {
        "CLOUDFRONT_DOMAIN": "cdn.example.test",
        "CLOUDFRONT_KEY_PAIR_ID": "KBENCH",
        "CLOUDFRONT_PRIVATE_KEY_PEM": pem.decode(),
        "CLOUDFRONT_AUTH_MODE": "cookie",
    }


def presigned_url(store: LocalStore) -> str:
    """A GET of the bucket's only disk; its Range is not signed."""
    clients = StoreClients(store.address)
    (disk,) = clients.requests.list_objects_v2(Bucket=BUCKET)["Contents"]
    parameters = {"Bucket": BUCKET, "Key": disk["Key"]}
    return clients.signing.generate_presigned_url("get_object", Params=parameters, ExpiresIn=URL_SECONDS)


def _server(name: str, url: str, pid: int) -> Server:
    parts = urlsplit(url)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return Server(name, parts.port or 80, target, (pid,))


def _gateway_server(name: str, gateway: LocalGateway, image_id: str) -> Server:
    url = GatewayClient(gateway.url, USER).stream_url(image_id)["url"]
    return _server(name, url, gateway.process.pid)


def _edge_server(name: str, edge: Edge, gateway: LocalGateway, image_id: str) -> Server:
    server = _gateway_server(name, gateway, image_id)
    return replace(server, port=edge.port, pids=(edge.pid, *server.pids), edge=edge)


def _start_nginx(stack: ExitStack, folder: Path, store: Server) -> Server:
    folder.mkdir()
    (port,) = find_free_ports(1)
    server = Server(NGINX, port, "/disk.img", ())
    process = run_nginx(NGINX, nginx_config(folder, server, store), folder, port)
    stack.callback(process.stop, grace=2)
    return replace(server, pids=(process.pid,))


def nginx_config(folder: Path, server: Server, store: Server) -> str:
    """A plain proxy with kept connections; it never writes bodies to disk, which would be slower."""
    user = "user root;" if os.geteuid() == 0 else ""
    places = "\n".join(
        f"    {name}_temp_path {folder}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""{user}
worker_processes {WORKERS};
pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
{places}
    access_log {folder}/access.log combined buffer=64k flush=1s;
    tcp_nodelay on;
    keepalive_requests 1000000;
    upstream store {{
        server {store.host};
        keepalive 64;
        keepalive_requests 1000000;
    }}
    server {{
        listen {server.host};
        location = {server.target} {{
            proxy_pass http://store{store.target};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host {store.host};
            proxy_buffering on;
            proxy_buffers 16 64k;
            proxy_buffer_size 64k;
            proxy_busy_buffers_size 512k;
            proxy_max_temp_file_size 0;
        }}
    }}
}}
"""
