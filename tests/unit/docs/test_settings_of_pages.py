"""What pages write into ``realtime.toml`` are settings, with values that are accepted."""

from __future__ import annotations

import tomllib

import pytest

from server.app.settings import Settings
from tests.support.doc_blocks import Block, blocks


@pytest.mark.parametrize("block", blocks("toml", "realtime.toml"), ids=str)
def test_names_are_settings(block: Block) -> None:
    written = tomllib.loads(block.text)
    assert written
    assert written.keys() <= Settings.model_fields.keys()
