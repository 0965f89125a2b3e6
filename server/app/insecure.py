"""Settings that let in more than a server on the open internet should: named at the start, by doctor and in ``/health``."""

from __future__ import annotations

from collections.abc import Mapping

from server.app.settings import Settings
from server.http.loopback import is_loopback

__all__ = ["insecure_settings"]


def insecure_settings(settings: Settings) -> Mapping[str, str]:
    """Why each of them is insecure, and the remedy, by the name of the setting."""
    found: dict[str, str] = {}
    if settings.trust_user_parameter:
        found["trust_user_parameter"] = (
            "any client can be any user, by ?user= in its address; for development only: remove it, and accept tokens"
        )
    if settings.allow_anonymous and settings.host != "localhost" and not is_loopback(settings.host):
        found["allow_anonymous"] = (
            f"any program that reaches {settings.host} can read what is exposed and use open channels; "
            "set it to false, and accept tokens (auth_issuers), if that is not meant"
        )
    if "*" in settings.allowed_origins and settings.allow_anonymous:
        found["allowed_origins"] = (
            "any web page can connect through the browser of a user who reaches this server, also on its own machine; "
            "name the origins of your pages"
        )
    return found
