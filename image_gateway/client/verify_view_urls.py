"""Where clients of views read: by the options that `stream-url` offers, or by a URL that somebody gave."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from image_gateway.client.verify_http import ImageUrls
from image_gateway.client.verify_range_views import HttpBytesDevice, HttpVfs, NativeReader, full_config
from image_gateway.client.verify_requests import is_readable_url, with_path
from image_gateway.client.verify_view_reads import ViewReader
from image_gateway.client.verify_views import V86, GitHubDevice, InfiniteMac, TinyEmu
from image_gateway.protocol.view_verification import View

_LAYOUTS = "v86|tinyemu|infinite-mac|webvm|sqlite|raw"
_LEASED = re.compile(rf"(.*/v1/l/[^/]+)/(?:{_LAYOUTS})/.*")
_PLAIN = re.compile(rf"(.*/v1/images/[^/]+)/views/(?:{_LAYOUTS})/.*")
_V86_PATH = re.compile(r".*/v86/([0-9]{3,8}|any)/[^/]*\.img(?:\.zst)?")

Options = Mapping[str, Any]


class NotAView(ValueError):
    """A client cannot read from these options or this URL, which the message does not quote."""


@dataclass(frozen=True)
class ViewTarget:
    """A view that was not opened yet; its URL may hold secrets."""

    url: str = field(repr=False)
    connect: Callable[[ViewReader], View] = field(repr=False)


def find_image(url: str) -> ImageUrls | None:
    """Return where manifest and disk are of the image that a gateway's view belongs to."""
    path = urlsplit(url).path
    leased, plain = _LEASED.fullmatch(path), _PLAIN.fullmatch(path)
    if leased:
        manifest, disk = f"{leased[1]}/manifest.json", f"{leased[1]}/disk.img"
    elif plain:
        manifest, disk = f"{plain[1]}/chunked/manifest", f"{plain[1]}/range"
    else:
        return None
    return ImageUrls(with_path(url, manifest), with_path(url, disk), optional_manifest=True)


def _v86_options(options: Options) -> tuple[ViewTarget, ...]:
    url = _url(options, "url")
    if options.get("async") is not True or options.get("use_parts") is not True:
        raise NotAView("async and use_parts must be true")
    block_size, size = options.get("fixed_chunk_size"), options.get("size")
    if type(block_size) is not int or block_size <= 0 or type(size) is not int or size <= 0:
        raise NotAView("size and fixed_chunk_size must be positive whole numbers")
    # v86 is told the size, and asks the server for none.
    urls = (url, f"{url}.zst")
    return tuple(_target(each, partial(V86, block_size=block_size, size=size)) for each in urls)


def _v86_url(url: str) -> ViewTarget:
    named = _with_name(url, "disk.img")
    match = _V86_PATH.fullmatch(urlsplit(named).path)
    if match is None or find_image(url) is None or "." in urlsplit(url).query:
        raise NotAView("as v86, TARGET must be a gateway's …/v86/BLOCK_SIZE/disk.img, without a dot after it")
    block_size = None if match[1] == "any" else int(match[1])
    return _target(named, partial(V86, block_size=block_size))


def _mac_options(options: Options) -> tuple[ViewTarget, ...]:
    base = _url(options, "baseUrl")
    return (_target(_url(options, "url"), partial(InfiniteMac, base_url=base)),)


def _webvm_options(options: Options) -> tuple[ViewTarget, ...]:
    return _target(_url(options, "url"), GitHubDevice), _target(_url(options, "bytesUrl"), HttpBytesDevice)


def _webvm_url(url: str) -> ViewTarget:
    named = _with_name(url, "disk.ext2")
    path = urlsplit(named).path
    if re.search(r"/webvm/bytes/[^/]+$", path):
        return _target(named, HttpBytesDevice)
    return _target(with_path(named, path.removesuffix(".meta")), GitHubDevice)


def _sqlite_options(options: Options) -> tuple[ViewTarget, ...]:
    if options.get("from") != "jsonconfig":
        raise NotAView("from must be jsonconfig")
    url = _url(options, "configUrl")
    return _target(url, HttpVfs), _target(full_config(url), HttpVfs)


def _raw_url(url: str) -> ViewTarget:
    if urlsplit(url).path.endswith("/"):
        raise NotAView("as raw, TARGET must be the URL of a file")
    return _target(url, NativeReader)


def _target(url: str, make: Callable[..., View]) -> ViewTarget:
    return ViewTarget(url, lambda reader: make(reader, url))


def _url(options: Options, name: str) -> str:
    url = options.get(name)
    if not isinstance(url, str) or not is_readable_url(url):
        raise NotAView(f"{name} must be an http or https URL")
    return url


def _with_name(url: str, name: str) -> str:
    """Return a URL with the usual file name after it if it ends in a slash."""
    path = urlsplit(url).path
    return with_path(url, f"{path}{name}") if path.endswith("/") else url


VIEW_CLIENTS: dict[str, tuple[Callable[[Options], tuple[ViewTarget, ...]], Callable[[str], ViewTarget]]] = {
    "v86": (_v86_options, _v86_url),
    "tinyemu": (
        lambda options: (_target(_url(options, "url"), TinyEmu),),
        lambda url: _target(_with_name(url, "blk.txt"), TinyEmu),
    ),
    "infinite-mac": (_mac_options, lambda url: _target(_with_name(url, "manifest.json"), InfiniteMac)),
    "webvm": (_webvm_options, _webvm_url),
    "sqlite": (_sqlite_options, lambda url: _target(_with_name(url, "config.json"), HttpVfs)),
    "raw": (lambda options: (_target(_url(options, "url"), NativeReader),), _raw_url),
}
