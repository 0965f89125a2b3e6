"""What tests share: servers, clients, data, ports."""

from pathlib import Path
from typing import Final

VECTORS: Final = Path(__file__).parent / "vectors"
"""Inputs and results that several implementations of one rule run."""
