"""The settings as ``realtime config`` shows them: in effect, with their sources; and as a commented file to begin with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from server.app.settings import WITH_SECRETS, Settings

__all__ = ["MASK", "effective", "example_file"]

MASK: Final = "********"

_ADDRESSES: Final = ("dsn", "pooled_dsn")
_FORMER: Final = ("throw_away",)
_OWN: Final = [name for name in Settings.__annotations__ if name in Settings.model_fields]
_NAMES: Final = tuple(name for name in dict.fromkeys((*_OWN, *Settings.model_fields)) if name not in _FORMER)
"""The database and the address first, limits and what else has a class of its own behind them."""

_EXAMPLES: Final = {
    "dsn": '"postgresql://app@localhost/app"',
    "pooled_dsn": '"postgresql://app@localhost:6432/app"',
    "workers": "2",
    "tls_certificate": '"/etc/realtime/certificate.pem"',
    "tls_key": '"/etc/realtime/key.pem"',
    "auth_handler": '{ function = "app.tokens:judge" }',
    "content_hook": '"app.content:check"',
    "rest_key": '""',
    "alert_webhook": '{ url = "https://app.example.com/alerts", secret = "whsec_" }',
    "node_url": '"wss://node-1.example.com"',
    "node_region": '"eu"',
    "nats_ca": '"/etc/realtime/nats-ca.pem"',
    "nats_origin": '"eu"',
    "node_name": '"node_1"',
    "country_database": '"/var/lib/countries.mmdb"',
    "country_header": '"CF-IPCountry"',
    "planned_connections": "10000",
    "max_sockets_per_ip": "300",
}
"""What settings without a default look like. Secrets are none: one that is written here would be used."""

_IN_ADDRESSES: Final = ("password", "sslpassword")
_HEAD: Final = """\
# Settings of Bunbase Realtime. The file realtime.toml in the current folder is read, or the one of --config.
# What is commented out shows the default, or an example where there is none. A flag, then REALTIME_... in the environment,
# then .env come before this file.
"""


def effective(settings: Settings, places: Mapping[str, str]) -> list[dict[str, object]]:
    """Each setting with its ``value``, as JSON has it, and its ``source``; no value has a secret."""
    shown = settings.model_dump(mode="json")
    return [
        {"setting": name, "value": _public(name, shown[name]), "source": places.get(name, "default")} for name in _NAMES
    ]


def example_file() -> str:
    """A TOML file with each setting, its description and its default, commented out."""
    parts = [_HEAD]
    for name in _NAMES:
        field = Settings.model_fields[name]
        default = field.get_default()
        value = _EXAMPLES[name] if default is None else json.dumps(default, default=str)
        unset = "; not set by default, for example" if default is None else ""
        parts.append(f"# {field.description}{unset}\n# {name} = {value}\n")
    return "\n".join(parts)


def _public(name: str, value: object) -> object:
    if not value or name not in WITH_SECRETS:
        return value
    return _without_password(str(value)) if name in _ADDRESSES else MASK


def _without_password(address: str) -> str:
    try:
        parts = conninfo_to_dict(address)
    except ProgrammingError:
        return MASK
    return make_conninfo("", **{name: MASK if name in _IN_ADDRESSES else value for name, value in parts.items()})
