"""Application factory: creates and wires all components."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path

from cachetools import TTLCache, cached
from flask import Flask

from image_gateway.catalog.repository import Catalog
from image_gateway.cdn.backends import Sign
from image_gateway.cdn.cookies import CookieRules
from image_gateway.components import (
    fetch_rules,
    make_block_cache,
    make_cdn,
    make_verifier,
    oidc_client_rules,
    open_catalog,
    open_store,
    upload_rules,
)
from image_gateway.errors import CatalogUnavailable, GatewayError, StoreUnavailable
from image_gateway.identity.lease_tokens import LeaseKey, LeaseTokens
from image_gateway.identity.oidc import OidcVerifier
from image_gateway.identity.oidc_keys import LIFETIME_SECONDS, Discovery, fetch_discovery
from image_gateway.identity.oidc_sign_in import OidcSignIn, PendingSignIns
from image_gateway.observability.metrics_exposition import Exposition
from image_gateway.observability.request_log import install_request_log
from image_gateway.observability.server_timing import Timings
from image_gateway.routes.console import ConsoleRules, make_console_blueprint
from image_gateway.routes.delta_writes import make_delta_writes_blueprint
from image_gateway.routes.deltas import make_deltas_blueprint
from image_gateway.routes.health import make_health_blueprint
from image_gateway.routes.http.authentication import Authenticator, install_identity
from image_gateway.routes.http.cors import install_cors
from image_gateway.routes.http.edge_permissions import install_edge
from image_gateway.routes.http.errors import install_error_handlers
from image_gateway.routes.http.public_url import OriginRules, install_origin, trust_proxies
from image_gateway.routes.http.rate_limits import LimitRules, Limits
from image_gateway.routes.http.request_limits import install_bounds
from image_gateway.routes.http.sync_flask import SyncFlask
from image_gateway.routes.image_bytes import ReadHandler, make_stream_blueprint
from image_gateway.routes.images import make_images_blueprint
from image_gateway.routes.jobs import make_jobs_blueprint
from image_gateway.routes.leased_bytes import make_chunked_blueprint, make_lease_paths_blueprint
from image_gateway.routes.leases import make_leases_blueprint
from image_gateway.routes.metrics import make_metrics_blueprint
from image_gateway.routes.sessions import OidcClient, SignInByName, make_sessions_blueprint
from image_gateway.routes.shares import make_share_links_blueprint, make_shares_blueprint
from image_gateway.routes.stream_url import make_delivery_blueprint
from image_gateway.routes.uploads import make_uploads_blueprint
from image_gateway.routes.views import make_view_blueprints
from image_gateway.services.audit_trail import AuditTrail
from image_gateway.services.boot_traces import BootTraces
from image_gateway.services.completion import Completion
from image_gateway.services.deltas.delta_services import make_delta_services
from image_gateway.services.deltas.flattening import DeltaFlattening
from image_gateway.services.deltas.reading import DeltaReads
from image_gateway.services.images import Images
from image_gateway.services.jobs.requests import JobRequests
from image_gateway.services.leases import LeaseRules, Leases
from image_gateway.services.purging import Purger
from image_gateway.services.readiness import Dependency, Readiness
from image_gateway.services.reading.access import Access
from image_gateway.services.reading.cached_body import BlockCacheReader
from image_gateway.services.reading.pieces import PieceReader
from image_gateway.services.reading.read_ahead import ReadAhead
from image_gateway.services.reading.reader import Reader
from image_gateway.services.sessions import SessionRules, Sessions
from image_gateway.services.sharing import Sharing, SharingLimits
from image_gateway.services.slots import Streams, make_compression_slots, make_stream_slots
from image_gateway.services.stream_urls import Cdn, Delivery, LeaseCarrier
from image_gateway.services.uploads import Uploads
from image_gateway.settings import Settings
from image_gateway.storage.objects import ObjectStore

_log = logging.getLogger(__name__)


def create_app(
    settings: Settings,
    *,
    store: ObjectStore | None = None,
    catalog: Catalog | None = None,
    sign: Sign | None = None,
    clock: Callable[[], float] = time.time,
    timer: Callable[[], float] = time.monotonic,
) -> Flask:
    """Create the Flask application.

    Components that are not given are created from the settings. `clock` returns seconds since the epoch,
    `timer` monotonic seconds. Raises SettingsError if key, database URL, schema or OIDC settings are invalid.
    """
    store = store or open_store(settings)
    catalog = catalog or open_catalog(settings)
    access = Access(
        catalog,
        catalog.shares,
        hide_foreign=settings.hide_foreign_images,
        remember=settings.access_cache_seconds,
        clock=clock,
        timer=timer,
    )
    trail = AuditTrail(catalog.audit_entries, clock)
    leases = Leases(
        catalog.leases, access, _lease_tokens(settings), _lease_rules(settings), trail, clock, timer
    )
    delivery = _make_delivery(settings, make_cdn(settings, sign=sign, clock=clock), leases)
    traces = BootTraces(catalog.boot_traces, settings.access_cache_seconds, timer)
    reader = _make_reader(settings, store, catalog)
    sharing_limits = SharingLimits(settings.quota_shares_per_image, settings.quota_links_per_image)
    sharing = Sharing(catalog.shares, access, leases, sharing_limits, trail, clock)
    rules = upload_rules(settings)
    completion = Completion(catalog, store, rules.quota, settings.sha256_check_max_bytes, trail, clock)
    purger = Purger(catalog, store, clock)
    uploads = Uploads(catalog, store, access, rules, completion, purger, trail, clock)
    images = Images(catalog, purger, access, rules.quota, trail, clock)
    jobs = JobRequests(catalog, access, purger, rules, fetch_rules(settings), trail, clock)
    hide_foreign = settings.hide_foreign_images
    delta_services = make_delta_services(
        catalog, store, access, leases, trail, rules.quota, clock, hide_foreign=hide_foreign
    )
    flattening = DeltaFlattening(catalog, delta_services.access, delta_services.history, rules, trail, clock)
    handler = ReadHandler(
        access,
        DeltaReads(delta_services.access, delta_services.maps),
        reader,
        _make_streams(settings),
        Timings(settings.server_timing),
        settings.cross_origin_resource_policy,
    )

    app = SyncFlask("image_gateway", static_folder=None)
    install_request_log(app)
    install_origin(app, OriginRules(settings.public_url, settings.allowed_hosts))
    install_bounds(app)
    install_cors(app, settings.cors_allow_origin, guard_user_header=settings.auth_mode == "dev")
    install_error_handlers(app)
    install_edge(app, settings.edge_token)
    app.register_blueprint(make_health_blueprint(_make_readiness(catalog, store)))
    if settings.metrics_token is not None:
        exposition = Exposition(catalog.open_uploads, count_jobs=catalog.jobs.count)
        app.register_blueprint(make_metrics_blueprint(settings.metrics_token, exposition.render))
    limits = Limits(_limit_rules(settings), timer)
    verifier = make_verifier(settings, clock)
    sessions = _make_sessions(settings, catalog, clock)
    install_identity(app, Authenticator(settings.auth_mode, leases, verifier, limits.count_refusal, sessions))
    oidc_client = _make_oidc_client(settings, verifier, timer)
    by_name = SignInByName(settings.allow_insecure_dev_auth) if settings.auth_mode == "dev" else None
    app.register_blueprint(make_sessions_blueprint(sessions, oidc_client, by_name, limits))
    if settings.console:
        app.register_blueprint(make_console_blueprint(_console_rules(settings, store)))
    app.register_blueprint(make_uploads_blueprint(uploads, limits))
    app.register_blueprint(make_images_blueprint(images))
    app.register_blueprint(make_jobs_blueprint(jobs, limits))
    app.register_blueprint(make_deltas_blueprint(delta_services, flattening, delivery, limits))
    app.register_blueprint(make_delta_writes_blueprint(delta_services.commits))
    app.register_blueprint(make_delivery_blueprint(access, handler, delivery, traces))
    app.register_blueprint(make_stream_blueprint(handler))
    app.register_blueprint(make_chunked_blueprint(handler, delivery))
    app.register_blueprint(make_lease_paths_blueprint(handler, delivery))
    compressions = make_compression_slots(settings.web_threads, settings.stream_queue_seconds)
    for blueprint in make_view_blueprints(handler, PieceReader(reader, compressions), delivery, traces):
        app.register_blueprint(blueprint)
    app.register_blueprint(make_leases_blueprint(leases, delta_services.deltas, delivery, limits))
    app.register_blueprint(make_shares_blueprint(sharing))
    app.register_blueprint(make_share_links_blueprint(sharing, delivery, limits))
    trust_proxies(app, settings.trusted_proxy_hops)
    return app


def _make_delivery(settings: Settings, cdn: Cdn | None, leases: Leases) -> Delivery:
    rules = CookieRules(settings.lease_cookie_samesite, settings.lease_cookie_partitioned, domain=None)
    carrier = LeaseCarrier(settings.gateway_auth_mode == "cookie", rules)
    return Delivery(cdn, None if settings.auth_mode == "none" else leases, carrier)


def _make_streams(settings: Settings) -> Streams:
    threads, queue_seconds = settings.web_threads, settings.stream_queue_seconds
    slots = make_stream_slots(threads, settings.max_streams, settings.max_streams_per_user, queue_seconds)
    return Streams(slots, recheck_seconds=max(1, settings.access_cache_seconds))


def _make_readiness(catalog: Catalog, store: ObjectStore) -> Readiness:
    database = Dependency("the catalog's database", catalog.check_reachable, CatalogUnavailable)
    return Readiness([database, Dependency("the store", store.check_reachable, StoreUnavailable)])


def _make_reader(settings: Settings, store: ObjectStore, catalog: Catalog) -> Reader:
    cache = make_block_cache(settings)
    if cache is None:
        return Reader(store)
    cached = BlockCacheReader(store, cache)
    # What is read ahead must not evict what was read ahead.
    most = min(settings.read_ahead_bytes, settings.range_cache_max_bytes // 4)
    return Reader(store, cached, ReadAhead(cached, catalog.boot_traces.find, most) if most else None)


def _make_sessions(settings: Settings, catalog: Catalog, clock: Callable[[], float]) -> Sessions:
    rules = SessionRules(settings.session_idle_seconds, settings.session_max_seconds)
    return Sessions(catalog.sessions, rules, clock)


def _make_oidc_client(
    settings: Settings, verifier: OidcVerifier | None, timer: Callable[[], float]
) -> OidcClient | None:
    """Return the sign-in at the identity provider; None if it is not configured."""
    issuer, rules = settings.oidc_issuer, oidc_client_rules(settings)
    if verifier is None or issuer is None or rules is None:
        return None
    discovery: TTLCache[str, Discovery] = TTLCache(1, LIFETIME_SECONDS, timer)
    discover = cached(discovery, key=lambda: issuer, lock=threading.Lock())(lambda: fetch_discovery(issuer))
    keys = [secret for _, secret in reversed(settings.lease_keys)]
    sign_in = OidcSignIn(rules, verifier.for_audience(rules.client_id), discover)
    return OidcClient(sign_in, PendingSignIns(keys))


def _console_rules(settings: Settings, store: ObjectStore) -> ConsoleRules:
    can_sign_in = settings.auth_mode != "oidc" or settings.oidc_client_id is not None
    cdn = [f"https://{settings.cloudfront_domain}"] if settings.cloudfront_domain is not None else []

    def origins() -> list[str]:
        try:
            return [store.upload_origin(), *cdn]
        except GatewayError as error:
            # Uploads will fail with the same reason; everything else works.
            _log.warning("the console's pages cannot upload: %s", error.message)
            return cdn

    return ConsoleRules(
        settings.auth_mode if can_sign_in else "unavailable",
        origins,
        Path(settings.emulator_v86_path) if settings.emulator_v86_path else None,
    )


def _lease_tokens(settings: Settings) -> LeaseTokens:
    """Return the lease tokens; without LEASE_KEYS the key is random and lives as long as the process."""
    keys = settings.lease_keys or (("once", secrets.token_hex(32)),)
    return LeaseTokens([LeaseKey(key_id, secret) for key_id, secret in keys])


def _lease_rules(settings: Settings) -> LeaseRules:
    return LeaseRules(
        ttl=settings.lease_ttl_seconds,
        max_ttl=settings.lease_max_ttl_seconds,
        session=settings.lease_session_seconds,
        grace=settings.lease_grace_seconds,
        admin_session=settings.lease_admin_seconds,
        remember=settings.access_cache_seconds,
    )


def _limit_rules(settings: Settings) -> LimitRules:
    return LimitRules(
        enabled=settings.rate_limits,
        storage_url=settings.rate_limit_storage_url,
        create=settings.rate_limit_create,
        leases=settings.rate_limit_leases,
        redeem=settings.rate_limit_redeem,
        sign_in=settings.rate_limit_sign_in,
        failed_auth=settings.rate_limit_failed_auth,
        part_urls=settings.rate_limit_part_urls,
        complete=settings.rate_limit_complete,
        per_address=settings.rate_limit_per_address,
    )
