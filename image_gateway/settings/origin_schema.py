"""Settings for the public URL, accepted Host values and CORS."""

from __future__ import annotations

from marshmallow import Schema

from image_gateway.settings.fields import Hosts, Origin, Origins, choice, doc


class OriginSchema(Schema):
    """Public URL, accepted Host values and CORS."""

    public_url = Origin(
        data_key="PUBLIC_URL",
        load_default=None,
        metadata=doc(
            "Origin for the URLs that the gateway returns; taken from the request's Host when empty",
            "https://images.example.com",
        ),
    )
    allowed_hosts = Hosts(
        data_key="ALLOWED_HOSTS",
        load_default=(),
        metadata=doc(
            "Accepted Host header values as host[:port], comma-separated; any when empty",
            "images.example.com",
        ),
    )
    cors_allow_origin = Origins(
        data_key="CORS_ALLOW_ORIGIN",
        load_default=("*",),
        metadata=doc("Allowed CORS origins, comma-separated, or *; only listed origins may send credentials"),
    )
    cross_origin_resource_policy = choice(
        "same-site",
        "same-origin",
        "cross-origin",
        data_key="CROSS_ORIGIN_RESOURCE_POLICY",
        load_default="same-site",
        metadata=doc("Cross-Origin-Resource-Policy header of image data"),
    )
