"""The setting ``auth_handler``: who judges the tokens that are of no configured issuer."""

from __future__ import annotations

from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from server.auth.issuers import check_address, check_admin_role
from server.webhook_signature import signing_key

__all__ = ["DEFAULT_ROLE", "HandlerSettings"]

DEFAULT_ROLE: Final = "authenticated"
"""The role of users for whom the handler names none."""


class HandlerSettings(BaseModel):
    """It has exactly one of ``function`` and ``url``."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    function: str | None = Field(None, description="module:function or path/to/file.py:function")
    url: str | None = Field(None, description="address of a webhook")
    secret: SecretStr | None = Field(None, description="signs requests to the webhook: 24 to 64 bytes in base64")
    timeout: float = Field(3.0, gt=0, le=9, description="seconds for an answer")
    cache: float = Field(
        10.0, ge=0, le=3600, description="seconds for which an accepted token is not asked about again"
    )

    admin_role: str | None = Field(
        None, min_length=1, max_length=63, description="the role, in its answers, of administrators; none by default"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_admin_role(self.admin_role, DEFAULT_ROLE)
        if (self.function is None) == (self.url is None):
            raise ValueError("exactly one of function and url must be given")
        if self.url is not None:
            check_address("url", self.url)
            self.signing_key()
        elif self.secret is not None:
            raise ValueError("secret: only requests to a webhook are signed")
        return self

    def signing_key(self) -> bytes:
        """The key of ``secret``. Raises ``ValueError`` if there is none."""
        return signing_key("" if self.secret is None else self.secret.get_secret_value())
