"""The setting ``alert_webhook``: to which address alerts are sent."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from server.auth.issuers import check_address
from server.webhook_signature import signing_key

__all__ = ["AlertWebhook"]


class AlertWebhook(BaseModel):
    """A webhook after Standard Webhooks (standardwebhooks.com)."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    url: str = Field(description="its address")
    secret: SecretStr = Field(description="signs requests: 24 to 64 bytes in base64")
    timeout: float = Field(5.0, gt=0, le=60, description="seconds for an answer")

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_address("url", self.url)
        self.signing_key()
        return self

    def signing_key(self) -> bytes:
        """The key of ``secret``. Raises ``ValueError``."""
        return signing_key(self.secret.get_secret_value())
