"""Functions that settings name: found in modules and files, called in threads that nothing waits for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from server.operator_function import FunctionEndedError, FunctionNameError, OperatorFunction, load_function
from tests.support.servers.processes import ROOT

FILE = """
from __future__ import annotations
from dataclasses import dataclass
@dataclass
class Answer:
    text: str
def double(text: str) -> str:
    return Answer(text * 2).text
def leave(text: str) -> str:
    raise SystemExit(text)
broken = 1
"""


async def test_a_function_may_be_in_a_file_that_is_no_module_of_the_server(tmp_path: Path) -> None:
    file = tmp_path / "own functions.py"
    file.write_text(FILE)
    assert await OperatorFunction("auth_handler", f"{file}:double").call("a") == "aa"
    with pytest.raises(FunctionEndedError, match="the function raised SystemExit"):
        await OperatorFunction("auth_handler", f"{file}:leave").call("a")
    for name in (f"{file}:missing", f"{file}:broken", f"{tmp_path}/none.py:f", f"{file}", "no_module_at_all:f"):
        with pytest.raises(FunctionNameError, match="auth_handler: "):
            load_function("auth_handler", name)
    file.write_text("1 / 0")
    with pytest.raises(FunctionNameError, match=r"auth_handler: .* \(ZeroDivisionError: division by zero\)"):
        load_function("auth_handler", f"{file}:double")


def test_a_call_that_never_returns_does_not_keep_the_process(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("import time\ndef hang(text):\n    time.sleep(3600)\n")
    program = (
        "import asyncio, contextlib\n"
        "from server.operator_function import OperatorFunction\n"
        "async def main():\n"
        f"    function = OperatorFunction('s', {str(tmp_path / 'own.py:hang')!r})\n"
        "    with contextlib.suppress(TimeoutError):\n"
        "        await asyncio.wait_for(function.call(''), 0.01)\n"
        "asyncio.run(main())\n"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=60, check=True).returncode == 0
