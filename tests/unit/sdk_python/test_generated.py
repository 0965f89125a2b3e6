"""What is generated in the SDKs is what the scripts write now."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import bunbase
import pytest

from server.protocol.close_codes import CloseCode
from server.protocol.error_codes import ErrorCode

SDK = Path(__file__).parents[3] / "sdk"


@pytest.mark.parametrize("script", ["generate_codes.py", "generate_sync.py"])
def test_the_generated_files_are_current(script: str) -> None:
    check = subprocess.run([sys.executable, SDK / script, "--check"], capture_output=True, text=True, check=False)
    assert (check.returncode, check.stderr) == (0, "")


def test_the_client_knows_the_codes_of_the_server() -> None:
    assert {code.name: code.value for code in bunbase.ErrorCode} == {code.name: code.value for code in ErrorCode}
    assert {code.name: code.value for code in bunbase.CloseCode} == {code.name: code.value for code in CloseCode}
