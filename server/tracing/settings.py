"""Settings of tracing. Where traces are sent to is set by OpenTelemetry's own variables, ``OTEL_…``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings

__all__ = ["TracingSettings"]


class TracingSettings(BaseSettings):
    """A part of :class:`server.app.settings.Settings`."""

    tracing: bool = Field(False, description="record traces and send them by OTLP, as set by OTEL_… variables")
    trace_sample_ratio: float = Field(
        0.01, ge=0, le=1, description="part of the publishes and commits without a trusted parent that is recorded"
    )
    trace_trusted_parents: Literal["none", "servers", "all"] = Field(
        "servers",
        description="whose sampled flag decides in place of the ratio: servers' (SQL and REST), also clients', or none's",
    )
    trace_names: bool = Field(False, description="spans carry names of channels, ids of messages, and users")
