"""Private keys as operators have them: every common form is taken, every wrong one refused."""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from image_gateway.cdn.backends import KeyPair, Sign, load_by_cryptography, load_by_rsa
from image_gateway.cdn.keys import load_signing_key

MESSAGES = [b"", b"x", b'{"Statement":[]}', bytes(range(256)) * 40]
LOADERS = [load_by_rsa, load_by_cryptography]

FORMS: dict[str, Callable[[str], str]] = {
    "as it is": lambda pem: pem,
    "no last line end": lambda pem: pem.rstrip("\n"),
    "blank lines around": lambda pem: f"\n\n{pem}\n\n",
    r"literal \n": lambda pem: pem.replace("\n", r"\n"),
    r"literal \r\n": lambda pem: pem.replace("\n", r"\r\n"),
    r"real and literal \n": lambda pem: pem.replace("\n", "\\n\n"),
    "CRLF": lambda pem: pem.replace("\n", "\r\n"),
    "CR": lambda pem: pem.replace("\n", "\r"),
    "BOM": lambda pem: f"\ufeff{pem}",
    "BOM and CRLF": lambda pem: "\ufeff" + pem.replace("\n", "\r\n"),
    "double quotes": lambda pem: f'"{pem}"',
    "single quotes": lambda pem: f"'{pem}'",
    r"quotes and literal \n": lambda pem: '"' + pem.replace("\n", r"\n") + '"',
    "quotes and white space": lambda pem: f'  "{pem}"\n',
    "indented": lambda pem: textwrap.indent(pem, "    "),
    "indented by tabs": lambda pem: textwrap.indent(pem, "\t"),
    "spaces for line ends": lambda pem: pem.replace("\n", " "),
    "lines before and after": lambda pem: f"Bag Attributes\n    friendlyName: x\n{pem}trailing text\n",
    "base64 of PEM": lambda pem: base64.b64encode(pem.encode()).decode(),
    "base64 of PEM in lines": lambda pem: base64.encodebytes(pem.encode()).decode(),
    "base64 of PEM in quotes": lambda pem: f'"{base64.b64encode(pem.encode()).decode()}"',
}


@pytest.fixture(params=["pkcs1_pem", "pkcs8_pem"])
def pem(request: pytest.FixtureRequest) -> str:
    text: str = request.getfixturevalue(request.param)
    return text


@pytest.mark.usefixtures("any_back_end")
@pytest.mark.parametrize("form", FORMS)
def test_forms(form: str, pem: str, openssl_sign: Sign) -> None:
    assert load_signing_key(FORMS[form](pem))(b"message") == openssl_sign(b"message")


@pytest.mark.parametrize("form", ["as it is", "CRLF", "BOM", "base64 of PEM", r"literal \n"])
@pytest.mark.parametrize("name", ["key.pem", "a key with spaces.pem"])
def test_a_path_of_any_form(form: str, name: str, pem: str, openssl_sign: Sign, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(FORMS[form](pem).encode())
    assert load_signing_key(f" {path}\n")(b"message") == openssl_sign(b"message")


def test_a_path_in_quotes(pem: str, openssl_sign: Sign, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text(pem)
    assert load_signing_key(f'"{path}"')(b"message") == openssl_sign(b"message")


def test_a_path_from_the_home_folder(
    pem: str, openssl_sign: Sign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "key.pem").write_text(pem)
    assert load_signing_key("~/key.pem")(b"message") == openssl_sign(b"message")


@pytest.mark.parametrize("message", MESSAGES, ids=len)
def test_both_back_ends_sign_as_openssl_does(message: bytes, pkcs1_der: bytes, openssl_sign: Sign) -> None:
    by_rsa, by_cryptography = load_by_rsa(pkcs1_der), load_by_cryptography(pkcs1_der)
    assert by_rsa.sign(message) == by_cryptography.sign(message) == openssl_sign(message)
    assert by_rsa.bits == by_cryptography.bits == 2048


@pytest.mark.parametrize("loader", LOADERS)
def test_both_back_ends_verify(
    loader: Callable[[bytes], KeyPair], pkcs1_der: bytes, openssl_sign: Sign
) -> None:
    pair, signature = loader(pkcs1_der), openssl_sign(b"message")
    assert pair.verify(b"message", signature)
    assert not pair.verify(b"another", signature)
    assert not pair.verify(b"message", signature[:-1] + bytes([signature[-1] ^ 1]))
    assert not pair.verify(b"message", signature[:-1])
    assert not pair.verify(b"message", b"")


@pytest.mark.parametrize("loader", LOADERS)
def test_the_repr_of_a_key_pair_holds_no_key(loader: Callable[[bytes], KeyPair], pkcs1_der: bytes) -> None:
    assert "sign" not in repr(loader(pkcs1_der))
