"""The console's pages and files as the gateway serves them: the same for everybody, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from image_gateway.errors import StoreUnavailable
from image_gateway.routes.console import FILES
from tests.support.world import OWNER, World

ID = "00000000-0000-4000-8000-000000000001"
PAGES = [
    *("/", "/sign-in", "/upload", "/link", f"/images/{ID}", f"/images/{ID}/share"),
    *(f"/images/{ID}/activity", f"/open/{ID}", "/open"),
]
SCRIPTS = sorted(str(path.relative_to(FILES)) for path in FILES.rglob("*.js"))
ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def test_pages_are_the_same_for_everybody_and_strict(world: World) -> None:
    for path in PAGES:
        check_page(world, path)


def check_page(world: World, path: str) -> None:
    shown = [world.request("GET", path, user=user) for user in (None, OWNER)]
    assert shown[0].data == shown[1].data
    headers = shown[0].headers
    assert shown[0].status_code == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert {name: headers[name] for name in ISOLATION} == ISOLATION
    policy = dict(part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["script-src"] == "'self' 'wasm-unsafe-eval'"
    assert policy["style-src"] == "'self'"
    store = world.store.upload_origin()
    assert policy["connect-src"] == f"'self' {store}"
    assert store.startswith("http")


def test_pages_connect_to_the_cdn_too(world: World) -> None:
    cdn = world.with_settings(cloudfront_domain="d111.cloudfront.net")
    policy = cdn.request("GET", "/").headers["Content-Security-Policy"]
    assert " https://d111.cloudfront.net;" in policy


def test_pages_are_shown_while_the_store_cannot_be_signed_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> str:
        raise StoreUnavailable("no credentials")

    monkeypatch.setattr(world.store, "sign_part", fail)
    response = world.request("GET", "/")
    assert (response.status_code, "connect-src 'self';" in response.headers["Content-Security-Policy"]) == (
        200,
        True,
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "dev"),
        ({"auth_mode": "none"}, "none"),
        ({"auth_mode": "oidc"}, "unavailable"),
        ({"auth_mode": "oidc", "oidc_client_id": "console"}, "oidc"),
    ],
    ids=str,
)
def test_pages_know_how_to_sign_in(world: World, changes: dict[str, str], expected: str) -> None:
    oidc = {
        "oidc_issuer": "https://id.example.com",
        "oidc_audience": ("x",),
        "lease_keys": (("k", "s" * 32),),
    }
    page = world.with_settings(**{**oidc, **changes}).request("GET", "/").text
    assert f'<meta name="sign-in" content="{expected}">' in page
    assert "{{" not in page


def test_files_are_sent_once_and_then_revalidated(world: World) -> None:
    assert len(SCRIPTS) > 10
    for name in (*SCRIPTS, "console.css"):
        response = world.request("GET", f"/console/{name}", user=None)
        assert response.data == (FILES / name).read_bytes()
        kind = "text/css" if name.endswith(".css") else "text/javascript"
        assert response.headers["Content-Type"] == f"{kind}; charset=utf-8"
        assert response.headers["Cache-Control"] == "no-cache"
        assert {header: response.headers[header] for header in ISOLATION} == ISOLATION
        again = {"If-None-Match": response.headers["ETag"]}
        unchanged = world.request("GET", f"/console/{name}", user=None, headers=again)
        assert (unchanged.status_code, unchanged.data) == (304, b"")


def test_nothing_else_is_served(world: World) -> None:
    outside = ("../app.py", "..%2Fapp.py", "%2e%2e/app.py", "lib/../../app.py")
    for name in (*outside, "index.html", "tsconfig.json", "lib", "", "x.js"):
        response = world.request("GET", f"/console/{name}", user=None)
        assert response.status_code == 404
        assert b"import" not in response.data


def test_v86_is_served_from_the_directory_of_the_setting(world: World, tmp_path: Path) -> None:
    (tmp_path / "libv86.js").write_text("script")
    (tmp_path / "v86.wasm").write_bytes(b"\0asm")
    (tmp_path / "bios.bin").write_bytes(b"bios")
    (tmp_path / "secret.txt").write_text("no")
    v86 = world.with_settings(emulator_v86_path=str(tmp_path))
    script = v86.request("GET", "/emulators/v86/libv86.js", user=None)
    assert (script.data, script.headers["Content-Type"]) == (b"script", "text/javascript")
    module = v86.request("GET", "/emulators/v86/v86.wasm", user=None)
    assert module.headers["Content-Type"] == "application/wasm"
    assert module.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    for name in ("secret.txt", "seabios.bin", "..%2Fapp.py"):
        assert v86.request("GET", f"/emulators/v86/{name}", user=None).status_code == 404
    page = v86.request("GET", "/open").text
    assert '<meta name="v86" content="installed">' in page
    assert '<meta name="v86-files" content="libv86.js v86.wasm bios.bin">' in page


@pytest.mark.parametrize("missing", ["libv86.js", "v86.wasm", "seabios.bin"])
def test_the_page_knows_which_file_of_v86_is_missing(world: World, tmp_path: Path, missing: str) -> None:
    others = [name for name in ("libv86.js", "v86.wasm", "seabios.bin", "vgabios.bin") if name != missing]
    for name in others:
        (tmp_path / name).touch()
    page = world.with_settings(emulator_v86_path=str(tmp_path)).request("GET", "/open").text
    assert '<meta name="v86" content="missing">' in page
    assert f'<meta name="v86-files" content="{" ".join(others)}">' in page


def test_without_v86_the_page_knows_that_it_is_missing(world: World, tmp_path: Path) -> None:
    for path in (None, str(tmp_path), str(tmp_path / "none")):
        missing = world.with_settings(emulator_v86_path=path)
        assert '<meta name="v86" content="missing">' in missing.request("GET", "/open").text
        answer = missing.request("GET", "/emulators/v86/libv86.js", user=None)
        assert answer.status_code == 404
        assert "EMULATOR_V86_PATH" in answer.get_json()["error"]["message"]


def test_the_console_can_be_turned_off(world: World) -> None:
    without = world.with_settings(console=False)
    for path in (*PAGES, "/console/app.js", "/emulators/v86/libv86.js"):
        assert without.request("GET", path).status_code == 404
    assert without.request("GET", "/v1/me").status_code == 200
