"""The views of an image as clients are configured with them."""

from __future__ import annotations

from typing import Any

from image_gateway.protocol.views import infinite_mac, sqlite, tinyemu, v86, webvm


def offer_views(root: str, size: int) -> dict[str, dict[str, Any]]:
    """Return the options of each client for an image.

    Args:
        root: The absolute URL of all views of the image; a secret when it holds a lease.
        size: The size of the image in bytes.
    """
    macintosh = f"{root}/infinite-mac/{infinite_mac.DEFAULT_BLOCK_SIZE}"
    config = f"{root}/sqlite/{sqlite.DEFAULT_BLOCK_SIZE}/{sqlite.CONFIG}"
    return {
        "v86": {
            "url": f"{root}/v86/{v86.DEFAULT_BLOCK_SIZE}/disk.img",
            "async": True,
            "size": size,
            "use_parts": True,
            "fixed_chunk_size": v86.DEFAULT_BLOCK_SIZE,
        },
        "tinyemu": {"url": f"{root}/tinyemu/{tinyemu.DEFAULT_KIB}/{tinyemu.INDEX}"},
        "infinite-mac": {"url": f"{macintosh}/{infinite_mac.MANIFEST}", "baseUrl": macintosh},
        "webvm": {"url": f"{root}/webvm/{webvm.DISK}", "bytesUrl": f"{root}/webvm/bytes/{webvm.DISK}"},
        "sqlite": {"url": config, "from": "jsonconfig", "configUrl": config},
        "raw": {"url": f"{root}/raw/disk.img"},
    }
