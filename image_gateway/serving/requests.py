"""One request through the app, as gunicorn's threaded worker serves it, with the gateway's response."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from gunicorn.http import wsgi

from image_gateway.routes.health import STOPPING
from image_gateway.serving.connections import Connection
from image_gateway.serving.responses import GatewayResponse


def serve_request(worker: Any, req: Any, conn: Connection) -> bool:
    """Run the app and send its answer; whether the connection can be used again.

    What goes wrong before anything was sent is raised; after that the connection breaks off.
    """
    environ: dict[str, Any] = {}
    resp: GatewayResponse | None = None
    try:
        worker.cfg.pre_request(worker, req)
        began = datetime.now()  # noqa: DTZ005  # as gunicorn's access log takes it
        resp, environ = wsgi.create(
            req, conn.sock, conn.client, conn.server, worker.cfg, response_class=GatewayResponse
        )
        environ["wsgi.multithread"] = True
        environ[STOPPING] = worker.is_stopping()
        _count(worker)
        if worker.is_leaving or not worker.cfg.keepalive or conn.is_part:
            resp.force_close()
        _send(worker, environ, resp, began)
        return not resp.should_close()
    except OSError:
        raise
    except (Exception, SystemExit):
        if resp is None or not resp.headers_sent:
            raise
        worker.log.exception("Error handling request")
        return False
    finally:
        try:
            worker.cfg.post_request(worker, req, environ, resp)
        except Exception:
            worker.log.exception("Exception in post_request hook")


def _count(worker: Any) -> None:
    worker.nr += 1
    if worker.nr >= worker.max_requests and worker.alive:
        worker.log.info("Autorestarting worker after current request.")
        worker.alive = False


def _send(worker: Any, environ: dict[str, Any], resp: GatewayResponse, began: datetime) -> None:
    body = worker.wsgi(environ, resp.start_response)
    try:
        if isinstance(body, environ["wsgi.file_wrapper"]):
            resp.write_file(body)
        else:
            for block in body:
                resp.write(block)
        resp.close()
    finally:
        worker.log.access(resp, resp.req, environ, datetime.now() - began)  # noqa: DTZ005
        if hasattr(body, "close"):
            body.close()
