"""What pages write into ``realtime.toml`` are settings, with values that are accepted."""

from __future__ import annotations

import re
import tomllib

import pytest

from server.app.settings import Settings
from tests.support.doc_blocks import Block, blocks

SECRET = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
"""In the place of one that a page omits ("…")."""


@pytest.mark.parametrize("block", blocks("toml"), ids=str)
def test_names_are_settings_and_values_are_accepted(block: Block) -> None:
    text = re.sub(r'"(whsec_)?[^"]*…"', lambda secret: f'"{secret[1] or ""}{SECRET}"', block.text)
    written = tomllib.loads(text)
    assert written
    assert written.keys() <= Settings.model_fields.keys()
    Settings.model_validate(written)
