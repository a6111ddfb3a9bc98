"""The variables about what the gateway is called, and which pages may use it."""

from __future__ import annotations

from marshmallow import Schema

from image_gateway.settings.fields import Hosts, Origin, Origins, choice, doc


class OriginSchema(Schema):
    """The gateway's own address, accepted hosts, and CORS."""

    public_url = Origin(
        data_key="PUBLIC_URL",
        load_default=None,
        metadata=doc(
            "Origin of the gateway in every URL that it hands out; the request's Host when empty",
            "https://images.example.com",
        ),
    )
    allowed_hosts = Hosts(
        data_key="ALLOWED_HOSTS",
        load_default=(),
        metadata=doc(
            "Values of Host that are answered, as host[:port], comma-separated; any when empty",
            "images.example.com",
        ),
    )
    cors_allow_origin = Origins(
        data_key="CORS_ALLOW_ORIGIN",
        load_default=("*",),
        metadata=doc("* or the origins of the pages that may read; named ones may send credentials"),
    )
    cross_origin_resource_policy = choice(
        "same-site",
        "same-origin",
        "cross-origin",
        data_key="CROSS_ORIGIN_RESOURCE_POLICY",
        load_default="same-site",
        metadata=doc("Cross-Origin-Resource-Policy of image bytes"),
    )
