"""The status of every role at every route, in every state of the image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from tests.support.world import OWNER

# Each route with what it does; `!` changes what the next request meets.
ROUTES = """
    GET    /health                                           service
    GET    /healthz                                          service
    GET    /readyz                                           service
    GET    /openapi.yaml                                     service
    GET    /login                                            sign-in
    POST   /login                                            forged
    GET    /oauth/callback                                   absent
    POST   /logout                                           no-session
    GET    /v1/me                                            own
    GET    /v1/images                                        own
    POST   /v1/images                                        own
    POST   /v1/images/import                                 queue
    POST   /v1/images/empty                                  queue
    GET    /v1/usage                                         own
    GET    /v1/images/<image_id>                             show
    PATCH  /v1/images/<image_id>                             describe
    DELETE /v1/images/<image_id>                             delete !
    POST   /v1/images/<image_id>/upload-url                  upload
    POST   /v1/images/<image_id>/upload-urls                 upload
    GET    /v1/images/<image_id>/upload                      upload
    DELETE /v1/images/<image_id>/upload                      abort !
    POST   /v1/images/<image_id>/complete                    complete !
    POST   /v1/images/<image_id>/publish                     process !
    POST   /v1/images/<image_id>/verify                      process !
    GET    /v1/images/<image_id>/jobs                        job
    GET    /v1/images/<image_id>/activity                    log
    GET    /v1/jobs/<job_id>                                 job
    DELETE /v1/jobs/<job_id>                                 job !
    GET    /v1/images/<image_id>/metadata                    read
    GET    /v1/images/<image_id>/range                       read
    GET    /v1/images/<image_id>/chunked/manifest            read
    GET    /v1/images/<image_id>/chunked/chunks/<chunk_index> read
    GET    /v1/images/<image_id>/views/v86/<block_size>/<name> read
    GET    /v1/images/<image_id>/views/tinyemu/<block_size>/<name> read
    GET    /v1/images/<image_id>/views/infinite-mac/<block_size>/<name> read
    GET    /v1/images/<image_id>/views/webvm/<name>          read
    GET    /v1/images/<image_id>/views/webvm/bytes/disk.ext2 read
    GET    /v1/images/<image_id>/views/sqlite/<block_size>/<name> read
    GET    /v1/images/<image_id>/views/raw/<name>            read
    GET    /v1/images/<image_id>/stream-url                  stream
    POST   /v1/images/<image_id>/shares                      share !
    GET    /v1/images/<image_id>/shares                      share
    DELETE /v1/images/<image_id>/shares                      share !
    POST   /v1/images/<image_id>/share-links                 share !
    GET    /v1/images/<image_id>/share-links                 share
    DELETE /v1/images/<image_id>/share-links/<link_id>       share !
    POST   /v1/share-links/redeem                            redeem
    POST   /v1/leases                                        lease
    POST   /v1/leases                                        write
    POST   /v1/leases                                        delta-read
    GET    /v1/images/<image_id>/lease                       lease
    POST   /v1/leases/<lease_id>/renew                       renew
    DELETE /v1/leases/<lease_id>                             revoke !
    GET    /v1/deltas                                        own
    POST   /v1/deltas                                        delta-make
    POST   /v1/deltas                                        delta-fork
    GET    /v1/deltas/<delta_id>                             delta-show
    PATCH  /v1/deltas/<delta_id>                             delta-manage
    DELETE /v1/deltas/<delta_id>                             delta-delete !
    POST   /v1/deltas/<delta_id>/sessions                    delta-open
    GET    /v1/deltas/<delta_id>/map                         delta-read
    GET    /v1/deltas/<delta_id>/disk.img                    delta-read
    GET    /v1/deltas/<delta_id>/views/v86/<block_size>/<name> delta-read
    GET    /v1/deltas/<delta_id>/views/tinyemu/<block_size>/<name> delta-read
    GET    /v1/deltas/<delta_id>/views/infinite-mac/<block_size>/<name> delta-read
    GET    /v1/deltas/<delta_id>/views/webvm/<name>          delta-read
    GET    /v1/deltas/<delta_id>/views/webvm/bytes/disk.ext2 delta-read
    GET    /v1/deltas/<delta_id>/views/sqlite/<block_size>/<name> delta-read
    GET    /v1/deltas/<delta_id>/views/raw/<name>            delta-read
    GET    /v1/deltas/<delta_id>/commits                     delta-show
    POST   /v1/deltas/<delta_id>/commits                     delta-commit
    PUT    /v1/deltas/<delta_id>/blocks/<block>              delta-commit
    GET    /v1/deltas/<delta_id>/snapshots                   delta-show
    POST   /v1/deltas/<delta_id>/snapshots                   delta-keep
    DELETE /v1/deltas/<delta_id>/snapshots/<snapshot_id>     delta-manage !
    POST   /v1/deltas/<delta_id>/reset                       delta-write
    POST   /v1/deltas/<delta_id>/flatten                     delta-flatten
    GET    /v1/l/<token>/disk.img                            by-token
    GET    /v1/l/<token>/manifest.json                       by-token
    GET    /v1/l/<token>/chunks/<chunk_index>                by-token
    GET    /v1/l/<token>/v86/<block_size>/<name>             by-token
    GET    /v1/l/<token>/tinyemu/<block_size>/<name>         by-token
    GET    /v1/l/<token>/infinite-mac/<block_size>/<name>    by-token
    GET    /v1/l/<token>/webvm/<name>                        by-token
    GET    /v1/l/<token>/webvm/bytes/disk.ext2               by-token
    GET    /v1/l/<token>/sqlite/<block_size>/<name>          by-token
    GET    /v1/l/<token>/raw/<name>                          by-token
"""
# A file of each view that an image of 1024 bytes has.
VIEW_FILES = {
    "/v86/<block_size>/<name>": "/v86/512/disk-512-1024.img.zst",
    "/tinyemu/<block_size>/<name>": "/tinyemu/2/blk000000000.bin",
    "/infinite-mac/<block_size>/<name>": "/infinite-mac/512/1.chunk",
    "/webvm/<name>": "/webvm/disk.ext2.c000000.txt",
    "/sqlite/<block_size>/<name>": "/sqlite/512/db.001",
    "/raw/<name>": "/raw/my.img",
}
# Images that are not complete, or deleted, are shared: what the owner's friends meet there is the state. The
# others have deltas, with which they are deleted only by ?cascade=true.
STATES = ("uploading", "private", "shared", "public", "failed", "deleted")
ANSWERS = """
                uploading  private  shared  public  failed  deleted
    show              200      200     200     200     200      404
    describe          200      200     200     200     200      404
    share             200      200     200     200     200      404
    delete            200      409     409     409     200      200
    read              409      200     200     200     409      404
    stream            409      200     200     200     409      404
    lease             409      200     200     200     409      404
    write             409      200     200     200     409      404
    upload            200      409     409     409     409      404
    complete          200      200     200     200     409      404
    abort             200      409     409     409     200      404
    process           409      202     202     202     409      404
    job               200      200     200     200     200      200
    log               200      200     200     200     200      200
    delta-make        409      201     201     201     409      404
"""
# What the named roles may do with the owner's delta, and the status. Images that are not complete have
# none; that of a deleted image is deleted with it.
DELTA_ANSWERS = {
    "delta-show": (("owner", "admin"), 200),
    "delta-read": (("owner", "admin"), 200),
    "delta-delete": (("owner", "admin"), 200),
    "delta-manage": (("owner",), 200),
    "delta-write": (("owner",), 200),
    "delta-open": (("owner",), 201),
    "delta-keep": (("owner",), 201),
    "delta-fork": (("owner",), 201),
    "delta-flatten": (("owner",), 202),
    # Only the lease of a session may commit.
    "delta-commit": ((), 200),
}
# What a role may do with an image, by the image's visibility.
MAY = """
    owner    private show describe share delete read stream lease write upload complete abort process job log
    owner    shared  show describe share delete read stream lease write upload complete abort process job log
    owner    public  show describe share delete read stream lease write upload complete abort process job log
    admin    private show delete read stream lease
    admin    shared  show delete read stream lease
    admin    public  show delete read stream lease
    writer   private
    writer   shared  show read stream lease write
    writer   public  show read stream lease write
    reader   private
    reader   shared  show read stream lease
    reader   public  show read stream lease
    stranger private
    stranger shared
    stranger public  show read stream lease
    nobody   private
    nobody   shared
    nobody   public  show read stream
    lease    private read
    lease    shared  read
    lease    public  read
    link     private
    link     shared  read
    link     public  read
"""
# A hidden stranger is one where HIDE_FOREIGN_IMAGES is set; `lease` is the owner's, `link` a share link's.
ROLES = ("owner", "admin", "writer", "reader", "stranger", "hidden", "nobody", "lease", "link")
SIGNED_IN = {
    "owner": f"user:{OWNER}",
    "admin": "admin",
    "writer": "user:wendy",
    "reader": "user:rick",
    "stranger": "user:sam",
    "hidden": "user:sam",
}
# What does not depend on a role's permissions for the image: by what the token is, or whose the lease is.
BY_TOKEN = dict(zip(STATES, (409, 200, 200, 200, 409, 404), strict=True))
BY_LINK_TOKEN = BY_TOKEN | {"private": 403}
REDEEMED = dict(zip(STATES, (409, 403, 200, 200, 409, 404), strict=True))
# What is the same for everybody who has no session: tests/routes/test_sessions.py has one.
APART = {"service": 200, "sign-in": 303, "forged": 403, "absent": 404, "no-session": 401}
RENEWED_BY = {"owner", "lease"}
REVOKED_BY = {"owner", "lease", "admin"}


@dataclass(frozen=True)
class Row:
    """A line of ROUTES."""

    method: str
    rule: str
    action: str
    changes: bool

    def __str__(self) -> str:
        return f"{self.method} {self.rule} {self.action}"


def read_rows() -> list[Row]:
    lines = [line.split() for line in ROUTES.strip().splitlines()]
    return [Row(method, rule, action, bool(mark)) for method, rule, action, *mark in lines]


@cache
def answers() -> dict[str, dict[str, int]]:
    states, *lines = [line.split() for line in ANSWERS.strip().splitlines()]
    return {
        action: {state: int(status) for state, status in zip(states, statuses, strict=True)}
        for action, *statuses in lines
    }


@cache
def permissions() -> dict[tuple[str, str], frozenset[str]]:
    lines = [line.split() for line in MAY.strip().splitlines()]
    return {(role, visibility): frozenset(actions) for role, visibility, *actions in lines}


def expected(row: Row, role: str, state: str) -> int:
    """The status that the tables above say."""
    special = _expected_apart_from_the_image(row.action, role, state)
    if special is not None:
        return special
    visibility = state if state in ("private", "public") else "shared"
    needed = "write" if row.action == "delta-make" else row.action
    may = needed in permissions()["stranger" if role == "hidden" else role, visibility]
    if role in ("lease", "link"):
        if row.action != "read":
            return 403
        if state == "deleted" or may:
            return answers()["read"][state]
        return 403
    if role == "nobody" and not may:
        return 401
    if state == "deleted":
        return answers()[row.action][state] if may else 404
    if may:
        return answers()[row.action][state]
    if row.action == "write" and "lease" in permissions().get((role, visibility), ()):
        return max(403, answers()["lease"][state])
    return 404 if role == "hidden" and visibility != "public" else 403


def _expected_of_delta(action: str, role: str, state: str) -> int:
    """The status for the owner's delta over the image."""
    allowed, status = DELTA_ANSWERS[action]
    if role == "nobody":
        return 401
    if role in ("lease", "link") or action == "delta-commit":
        return 403
    if state == "deleted" and action == "delta-delete" and role in allowed:
        return status
    if state in ("uploading", "failed", "deleted") or role == "hidden":
        return 404
    return status if role in allowed else 403


def _expected_apart_from_the_image(action: str, role: str, state: str) -> int | None:
    if action in DELTA_ANSWERS:
        return _expected_of_delta(action, role, state)
    if action in APART:
        return APART[action]
    if action == "own":
        return {"nobody": 401, "lease": 403, "link": 403}.get(role, 200)
    if action == "queue":
        return {"nobody": 401, "lease": 403, "link": 403}.get(role, 202)
    if action == "by-token":
        return (BY_LINK_TOKEN if role == "link" else BY_TOKEN)[state]
    if action == "redeem":
        return REDEEMED[state]
    if action in ("renew", "revoke"):
        if role == "nobody":
            return 401
        if role not in (RENEWED_BY if action == "renew" else REVOKED_BY):
            return 404
        return 200 if action == "revoke" else BY_TOKEN[state]
    return None
