"""create_app: wiring, nothing else."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from image_gateway.catalog.database import (
    DatabaseUrlError,
    SchemaOutdated,
    open_engine,
    require_current,
)
from image_gateway.catalog.records import Quota
from image_gateway.catalog.repository import Catalog
from image_gateway.cdn.backends import Sign
from image_gateway.cdn.cookies import CookieRules
from image_gateway.cdn.keys import UnusableKey, load_signing_key
from image_gateway.cdn.signer import CloudFrontSigner
from image_gateway.errors import CatalogUnavailable
from image_gateway.routes.bounds import install_bounds
from image_gateway.routes.chunked import make_chunked_blueprint
from image_gateway.routes.cors import install_cors
from image_gateway.routes.delivery import make_delivery_blueprint
from image_gateway.routes.error_handlers import install_error_handlers
from image_gateway.routes.health import make_health_blueprint
from image_gateway.routes.images import make_images_blueprint
from image_gateway.routes.stream import make_stream_blueprint
from image_gateway.routes.uploads import make_uploads_blueprint
from image_gateway.services.access import Access
from image_gateway.services.completion import Completion
from image_gateway.services.delivery import Cdn, Delivery
from image_gateway.services.images import Images
from image_gateway.services.streaming import Streaming
from image_gateway.services.uploads import UploadRules, Uploads
from image_gateway.settings import Settings, SettingsError
from image_gateway.storage.client import StoreAddress, StoreClients
from image_gateway.storage.objects import ObjectStore

_log = logging.getLogger(__name__)


def create_app(
    settings: Settings,
    *,
    store: ObjectStore | None = None,
    catalog: Catalog | None = None,
    sign: Sign | None = None,
    clock: Callable[[], float] = time.time,
) -> Flask:
    """Wire the gateway; what is not given is made from the settings.

    Raises SettingsError when the key, the database URL or the tables cannot be used.
    """
    store = store or open_store(settings)
    catalog = catalog or open_catalog(settings)
    delivery = Delivery(make_cdn(settings, sign=sign, clock=clock))
    access = Access(catalog)
    streaming = Streaming(store)
    rules = _upload_rules(settings)
    completion = Completion(catalog, store, rules.quota, settings.sha256_check_max_bytes, clock)
    uploads = Uploads(catalog, store, access, rules, completion, clock)
    images = Images(catalog, store, access, rules.quota, clock)
    policy = settings.cross_origin_resource_policy

    app = Flask("image_gateway", static_folder=None)
    app.config["GATEWAY_AUTH_MODE"] = settings.auth_mode
    install_bounds(app)
    install_cors(app, settings.cors_allow_origin)
    install_error_handlers(app)
    app.register_blueprint(make_health_blueprint([catalog.check_reachable, store.check_reachable]))
    app.register_blueprint(make_uploads_blueprint(uploads))
    app.register_blueprint(make_images_blueprint(images))
    app.register_blueprint(make_delivery_blueprint(access, delivery))
    app.register_blueprint(make_stream_blueprint(access, streaming, policy))
    app.register_blueprint(make_chunked_blueprint(access, streaming, delivery, policy))
    _trust_proxies(app, settings.trusted_proxy_hops)
    return app


def open_store(settings: Settings) -> ObjectStore:
    """The store that the settings name; nothing is connected yet."""
    return ObjectStore(StoreClients(store_address(settings)))


def store_address(settings: Settings) -> StoreAddress:
    return StoreAddress(
        bucket=settings.s3_bucket,
        region=settings.aws_region,
        endpoint=settings.s3_endpoint,
        public_endpoint=settings.s3_public_endpoint,
        path_style=settings.s3_force_path_style,
        pool_size=max(10, settings.web_threads),
        connect_timeout=settings.s3_connect_timeout_seconds,
        read_timeout=settings.s3_read_timeout_seconds,
    )


def open_catalog(settings: Settings) -> Catalog:
    """The catalog that the settings name; SettingsError unless its tables are up to date.

    A database that does not answer now is logged: requests will say 503 until it does.
    """
    try:
        engine = open_engine(settings.database_url, pool_size=settings.web_threads)
        require_current(engine)
    except (DatabaseUrlError, SchemaOutdated) as error:
        raise SettingsError([f"DATABASE_URL: {error}"]) from error
    except CatalogUnavailable as error:
        _log.error("DATABASE_URL: %s", error)
    return Catalog(engine)


def make_cdn(
    settings: Settings, *, sign: Sign | None = None, clock: Callable[[], float] = time.time
) -> Cdn | None:
    """The distribution that the settings name, its key tried out; None when there is none."""
    domain, key_pair_id = settings.cloudfront_domain, settings.cloudfront_key_pair_id
    pem = settings.cloudfront_private_key_pem
    if domain is None or key_pair_id is None or pem is None:
        return None
    try:
        signer = CloudFrontSigner(
            key_pair_id, sign or load_signing_key(pem), settings.cloudfront_signed_ttl_seconds, clock
        )
    except UnusableKey as error:
        raise SettingsError([f"CLOUDFRONT_PRIVATE_KEY_PEM {error}"]) from error
    cookies = CookieRules(
        same_site=settings.cloudfront_cookie_samesite,
        partitioned=settings.cloudfront_cookie_partitioned,
        domain=settings.cloudfront_cookie_domain,
    )
    return Cdn(domain, settings.cloudfront_auth_mode == "url", signer, cookies)


def _upload_rules(settings: Settings) -> UploadRules:
    return UploadRules(
        base_path=settings.image_base_path,
        part_size=settings.multipart_part_size_bytes,
        max_size=settings.s3_max_object_bytes,
        cache_control=settings.cache_control,
        url_lifetime=settings.presigned_url_ttl_seconds,
        upload_lifetime=settings.upload_ttl_seconds,
        quota=Quota(settings.quota_images, settings.quota_bytes, settings.quota_bytes_per_image),
    )


def _trust_proxies(app: Flask, hops: int) -> None:
    if hops:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]  # Flask's documented way to wrap
            app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops, x_prefix=0
        )
