"""Each setting that can let in more than it should is judged, and no other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from server.app.insecure import insecure_settings
from server.app.loading import load_settings
from server.app.settings import Settings
from tests.support.values.tokens import AUDIENCE, ISSUER, SECRET, pem

STRICT: Mapping[str, Any] = {"allow_anonymous": False, "trusted_proxies": ("10.0.0.1",), "require_api_key": True}
"""Settings of which none is insecure, whatever address the server listens on."""

_BOUND: Mapping[str, Any] = {"issuer": ISSUER, "audience": AUDIENCE, "secret": SECRET}

INSECURE: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "trust_user_parameter": ({"trust_user_parameter": True},),
    "allow_anonymous": (
        {"allow_anonymous": True, "host": "0.0.0.0", "allowed_origins": ("https://a.example",)},
        {"allow_anonymous": True, "host": "db.internal", "allowed_origins": ("https://a.example",)},
        {"allow_anonymous": True, "host": "127.0.0.1", "allowed_origins": ("https://a.example",)},  # a proxy's clients
    ),
    "allowed_origins": (
        {"allow_anonymous": True, "trusted_proxies": ()},
        {"allow_anonymous": True, "trusted_proxies": (), "allowed_origins": ("https://a.example", "null")},
    ),
    "auth_issuers": (
        {"auth_issuers": ({"issuer": ISSUER, "secret": SECRET},)},
        {"auth_issuers": ({"audience": AUDIENCE, "public_key": pem("RS256")},)},
        {"auth_issuers": ({**_BOUND, "admin_role": "boss", "role_claim": "user_metadata.role"},)},
    ),
    "anonymous_role": (
        {"anonymous_role": "guest", "auth_issuers": ({**_BOUND, "admin_role": "guest"},)},
        {"anonymous_role": "guest", "auth_handler": {"function": "module:function", "admin_role": "guest"}},
    ),
    "trusted_proxies": tuple({"trusted_proxies": (each,)} for each in ("0.0.0.0/0", "::/0", "128.0.0.0/1")),
    "host": ({"host": "0.0.0.0", "trusted_proxies": ()},),
    "rest_key": ({"rest_key": "correct horse"},),
    "require_api_key": (
        {"require_api_key": False},
        {"require_api_key": False, "host": "127.0.0.1", "trusted_proxies": ()},  # a proxy that is not declared
    ),
    "nats_url": (
        {"nats_url": ("nats://user:password@nats.example.com:4222",)},
        {"nats_url": ("tls://nats.example.com:4222",)},
        {"nats_url": ("tls://user:password@10.1.1.1", "nats://user:password@10.1.1.2")},
    ),
    "dsn": ({"dsn": "postgresql://user:password@db.example.com/x?sslmode=disable"},),
    "pooled_dsn": ({"pooled_dsn": "host=10.1.1.1 sslmode=disable"},),
    "max_query_cost": ({"max_query_cost": 0},),
    "query_temporary_size": ({"query_temporary_size": 0},),
    "max_reading_share": ({"max_reading_share": 1},),
    "max_refused_share": ({"max_refused_share": 1},),
    "max_work_share": ({"max_work_share": 1},),
    "trace_trusted_parents": ({"tracing": True, "trace_trusted_parents": "all"},),
    "content_hook_errors": ({"content_hook": "module:function", "content_hook_errors": "allow"},),
}
"""By the setting that is named: what makes it insecure, beside ``STRICT``."""

_NAMES = """
alert_interval alert_webhook allowed_ips analytics analytics_channels analytics_days_kept analytics_hours_kept
analytics_interval analytics_minutes_kept analytics_users anonymous_channels auth_handler auth_leeway
authentication_timeout balance_share channels_pool_size claims_setting content_hook content_hook_timeout
country_database country_header dashboard decoder definitions_interval denied_ips drain_time ephemeral
heartbeat_interval lease log_events log_format log_level max_backlog max_buffer_size max_connection_rate
max_connections_per_ip max_connections_per_user max_early_size max_message_rate max_message_size max_presence_rate
max_published_bytes max_query_rows max_reads_per_user max_reread_queries max_reread_queries_per_user max_rest_rate
max_sockets_per_ip max_subscriptions max_windows max_windows_per_user metrics missed_pings nats_ca nats_max_bytes nats_origin
nats_replicas node_name node_region node_url open_channels ping_interval planned_connections pool_size port
proxy_protocol query_memory_size query_timeout relay_lease respect_do_not_track rest_pool_size session_timeout
session_validation slot_failover slot_name stall_timeout tls_certificate tls_key trace_names trace_sample_ratio tracing
workers
"""
FORMER = {
    name for name, field in Settings.model_fields.items() if str(field.description).startswith("the former name of")
}
HARMLESS = frozenset(_NAMES.split()) | FORMER
"""Settings whose values let no client do more than the others allow: bounds that no value turns off, names, how the server
works.
"""


def keys_of(case: str | dict[str, Any]) -> str:
    """The id of a case: without values, of which some are made anew in each process."""
    return case if isinstance(case, str) else ",".join(case)


def test_each_setting_is_either_judged_or_known_to_be_harmless() -> None:
    unjudged = Settings.model_fields.keys() - INSECURE.keys() - HARMLESS
    assert unjudged == set(), "judge them in server/app/insecure.py, or list them here as harmless"
    assert INSECURE.keys() | HARMLESS <= Settings.model_fields.keys()
    assert not INSECURE.keys() & HARMLESS


@pytest.mark.parametrize(
    ("named", "settings"), [(name, each) for name, cases in INSECURE.items() for each in cases], ids=keys_of
)
def test_an_insecure_setting_is_named_alone_with_a_reason_and_a_remedy(named: str, settings: dict[str, Any]) -> None:
    found = insecure_settings(load_settings(None, **{**STRICT, **settings}))
    assert list(found) == [named]
    reason, _, remedy = found[named].rpartition("; ")
    assert reason
    assert remedy
    assert not any(secret in found[named] for secret in (SECRET, "correct horse"))


@pytest.mark.parametrize(
    "settings",
    [
        STRICT,
        {**STRICT, "host": "0.0.0.0"},
        {"host": "::1", "allowed_origins": ("https://a.example",), "require_api_key": True},
        {"host": "localhost", "allowed_origins": ("https://a.example",), "rest_key": "k" * 32},
        {**STRICT, "trace_trusted_parents": "all"},
        {**STRICT, "trusted_proxies": ("10.0.0.0/8", "fc00::/7"), "rest_key": "k" * 32},
        {**STRICT, "auth_issuers": ({"issuer": ISSUER, "audience": AUDIENCE, "public_key": pem("RS256")},)},
        {**STRICT, "content_hook_errors": "allow"},
        {**STRICT, "nats_url": ("tls://user:password@nats.example.com:4222", "nats://127.0.0.1:4222")},
        {**STRICT, "dsn": "host=/run/postgresql sslmode=disable", "pooled_dsn": "host=localhost sslmode=disable"},
        {**STRICT, "dsn": "postgresql://db.example.com/x"},
        {**STRICT, "auth_issuers": ({**_BOUND, "admin_role": "boss", "role_claim": "app_metadata.role"},)},
        {**STRICT, "auth_issuers": ({**_BOUND, "role_claim": "user_metadata.role"},), "anonymous_role": "guest"},
        {**STRICT, "host": "0.0.0.0", "trusted_proxies": (), "tls_certificate": "server.pem"},
    ],
    ids=keys_of,
)
def test_settings_for_the_open_internet_are_not_named(settings: dict[str, Any]) -> None:
    assert insecure_settings(load_settings(None, **settings)) == {}


@pytest.mark.parametrize("more", [{}, {"host": "0.0.0.0"}, {"trusted_proxies": ("10.0.0.1",)}], ids=keys_of)
def test_rest_without_a_key_is_named_but_where_a_developer_is_alone(more: dict[str, Any]) -> None:
    found = insecure_settings(load_settings(None, trust_user_parameter=True, **more))
    assert ("require_api_key" in found) is bool(more)
