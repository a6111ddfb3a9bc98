"""Pins the container images of Dockerfile and compose files to the digests that their registries name now.

pin_images.py [--check] [FILE ...]: rewrites `image:tag` to `image:tag@sha256:…`. With --check nothing is
written, and the status is 1 when an image has no digest or another one than its tag.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import urllib3

ROOT = Path(__file__).parents[1]
FILES = ["Dockerfile", "docker-compose.yml", "docker-compose.minio.yml"]
# An image with one manifest for each platform has an index; its digest is the one that works everywhere.
TYPES = (
    "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
)
SECONDS = 30
_USE = re.compile(r"^(FROM |\s*image: )(\S+?):([\w.-]+)(@sha256:[0-9a-f]{64})?(?=\s|$)", re.MULTILINE)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


class RegistryError(Exception):
    """The registry did not name a digest."""


@dataclass(frozen=True)
class Repository:
    """Where the manifests of an image are."""

    url: str

    @classmethod
    def of(cls, image: str) -> Repository:
        """The repository of a name as Docker reads it; registries on loopback speak plain HTTP."""
        host, slash, path = image.partition("/")
        if not slash or not ("." in host or ":" in host or host == "localhost"):
            host, path = "registry-1.docker.io", image if slash else f"library/{image}"
        scheme = "http" if host.partition(":")[0] in ("localhost", "127.0.0.1") else "https"
        return cls(f"{scheme}://{host}/v2/{path}/manifests")

    def digest(self, tag: str) -> str:
        """Ask for the digest of a tag, with an anonymous token where the registry wants one."""
        with urllib3.PoolManager(timeout=SECONDS) as http:
            url, headers = f"{self.url}/{tag}", {"Accept": TYPES}
            answer = http.request("HEAD", url, headers=headers)
            if answer.status == 401:
                token = _anonymous_token(http, answer.headers.get("WWW-Authenticate", ""))
                answer = http.request("HEAD", url, headers={**headers, "Authorization": f"Bearer {token}"})
        digest = answer.headers.get("Docker-Content-Digest", "")
        if answer.status != 200 or not _DIGEST.fullmatch(digest):
            raise RegistryError(f"{url} answered {answer.status} without a digest")
        return digest


def _anonymous_token(http: urllib3.PoolManager, challenge: str) -> str:
    """https://distribution.github.io/distribution/spec/auth/token/"""
    fields = dict(_CHALLENGE.findall(challenge))
    realm = fields.pop("realm", "")
    if not realm:
        raise RegistryError("the registry refuses, and does not say where tokens are")
    answer = http.request("GET", realm, fields=fields)
    if answer.status != 200:
        raise RegistryError(f"{realm} answered {answer.status}")
    document = answer.json()
    token: str = document.get("token") or document["access_token"]
    return token


def pin(text: str) -> str:
    """The text with every image at the digest that its tag has now."""

    def pinned(use: re.Match[str]) -> str:
        before, image, tag, _ = use.groups()
        return f"{before}{image}:{tag}@{Repository.of(image).digest(tag)}"

    return _USE.sub(pinned, text)


def main(arguments: list[str]) -> int:
    """Pin or check the files; return the exit status."""
    check = "--check" in arguments
    files = [Path(name) for name in arguments if name != "--check"] or [ROOT / name for name in FILES]
    status = 0
    for file in files:
        text = file.read_text()
        try:
            wanted = pin(text)
        except (RegistryError, urllib3.exceptions.HTTPError) as error:
            print(f"{file.name}: {error}", file=sys.stderr)
            return 2
        for old, new in zip(text.splitlines(), wanted.splitlines(), strict=True):
            if old != new:
                print(f"{file.name}: {new.strip()}")
                status = 1 if check else 0
        if not check:
            file.write_text(wanted)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
