"""Makes the components that the gateway, the worker and commands share, from the settings."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from image_gateway.block_cache.block_cache import BlockCache
from image_gateway.catalog.database import DatabaseUrlError, SchemaOutdated, open_engine, require_current
from image_gateway.catalog.repository import Catalog
from image_gateway.cdn.backends import Sign
from image_gateway.cdn.cookies import CookieRules
from image_gateway.cdn.keys import UnusableKey, load_signing_key
from image_gateway.cdn.signer import CloudFrontSigner
from image_gateway.domain.images import Quota
from image_gateway.errors import CatalogUnavailable
from image_gateway.fetching.url_rules import FetchRules
from image_gateway.identity.oidc import OidcRules, OidcUnusable, OidcVerifier
from image_gateway.identity.oidc_sign_in import ClientRules
from image_gateway.services.new_images import UploadRules
from image_gateway.services.stream_urls import Cdn
from image_gateway.settings import Settings, SettingsError
from image_gateway.storage.client import StoreAddress, StoreClients
from image_gateway.storage.objects import ObjectStore
from image_gateway.storage.presigned_reader import ObjectReader, make_reader

_log = logging.getLogger(__name__)


def open_store(
    settings: Settings, wrap: Callable[[ObjectReader], ObjectReader] = lambda reader: reader
) -> ObjectStore:
    """Return the store from the settings, without connecting; `wrap` decorates the object reader."""
    clients = StoreClients(store_address(settings))
    return ObjectStore(clients, wrap(make_reader(clients)))


def store_address(settings: Settings) -> StoreAddress:
    """Return the store's address, pool size and timeouts from the settings."""
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
    """Return the catalog, even if the database is down; SettingsError for an invalid URL or old schema."""
    try:
        engine = open_engine(
            settings.database_url, pool_size=settings.web_threads, timeout=settings.catalog_timeout_seconds
        )
        require_current(engine)
    except (DatabaseUrlError, SchemaOutdated) as error:
        raise SettingsError([f"DATABASE_URL: {error}"]) from error
    except CatalogUnavailable as error:
        _log.error("DATABASE_URL: %s", error)
    return Catalog(engine)


def make_cdn(
    settings: Settings, *, sign: Sign | None = None, clock: Callable[[], float] = time.time
) -> Cdn | None:
    """Return the CloudFront distribution, None if not configured; SettingsError if the key is invalid."""
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


def make_verifier(settings: Settings, clock: Callable[[], float] = time.time) -> OidcVerifier | None:
    """Return the token verifier for AUTH_MODE=oidc, without fetching keys; None otherwise.

    Raises:
        SettingsError: The rules are invalid, or the dependencies are missing.
    """
    if settings.auth_mode != "oidc" or settings.oidc_issuer is None:
        return None
    try:
        rules = OidcRules(
            issuer=settings.oidc_issuer,
            audience=settings.oidc_audience,
            jwks_url=settings.oidc_jwks_url,
            user_claim=settings.oidc_user_claim,
            admin_claim=settings.oidc_admin_claim,
            leeway=settings.oidc_leeway_seconds,
        )
        return OidcVerifier(rules, clock)
    except OidcUnusable as error:
        raise SettingsError([f"AUTH_MODE=oidc {error}"]) from error


def oidc_client_rules(settings: Settings) -> ClientRules | None:
    """Return how the gateway is registered at the issuer; None without OIDC_CLIENT_ID."""
    if settings.oidc_client_id is None:
        return None
    return ClientRules(settings.oidc_client_id, settings.oidc_scopes, settings.oidc_client_secret)


def make_block_cache(settings: Settings) -> BlockCache | None:
    """Return the local block cache without accessing the disk; None if not configured."""
    if settings.range_cache_dir is None:
        return None
    return BlockCache(
        Path(settings.range_cache_dir), settings.range_cache_max_bytes, settings.range_cache_block_bytes
    )


def upload_rules(settings: Settings) -> UploadRules:
    return UploadRules(
        base_path=settings.image_base_path,
        part_size=settings.multipart_part_size_bytes,
        max_size=settings.s3_max_object_bytes,
        cache_control=settings.cache_control,
        url_lifetime=settings.presigned_url_ttl_seconds,
        upload_lifetime=settings.upload_ttl_seconds,
        longest_upload=settings.upload_max_seconds,
        quota=Quota(
            settings.quota_images,
            settings.quota_bytes,
            settings.quota_bytes_per_image,
            settings.quota_open_uploads,
        ),
    )


def fetch_rules(settings: Settings) -> FetchRules:
    """Return which URLs may be imported, and the timeouts."""
    return FetchRules(
        allow_http=settings.import_allow_http,
        allow_private=settings.import_allow_private,
        allowed_hosts=settings.import_allowed_hosts,
        connect_seconds=settings.import_connect_seconds,
        stall_seconds=settings.import_stall_seconds,
    )
