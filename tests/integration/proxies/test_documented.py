"""The configurations that pages of the documentation show are ones that nginx and systemd accept."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.doc_blocks import Block, blocks
from tests.support.servers.installed import installed
from tests.support.values.certificates import Authority


@pytest.mark.parametrize("block", blocks("nginx"), ids=str)
def test_nginx_accepts_it(block: Block, tmp_path: Path) -> None:
    program = installed("nginx")
    chain, key = Authority(tmp_path).certify()
    text = re.sub(r"ssl_certificate \S+;", f"ssl_certificate {chain};", block.text)
    text = re.sub(r"ssl_certificate_key \S+;", f"ssl_certificate_key {key};", text)
    assert str(chain) in text
    main = tmp_path / "main.conf"
    main.write_text(f"pid {tmp_path}/nginx.pid; events {{}} http {{ access_log off; {text} }}")
    user = ["-g", "user root;"] if os.geteuid() == 0 else []
    command = [program, "-t", "-e", "stderr", "-p", str(tmp_path), "-c", str(main), *user]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", blocks("ini", "/etc/systemd"), ids=str)
def test_systemd_accepts_it(block: Block, tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    text, programs = re.subn(r"(?m)^ExecStart=\S+", f"ExecStart={shutil.which('true')}", block.text)
    assert programs == 1
    unit = tmp_path / Path(block.title).name
    unit.write_text(re.sub(r"(?m)^User=.*", "User=root", text))
    done = subprocess.run([program, "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
