"""The commands of pages are ones that there are, with arguments that they take. ``test_shell`` runs them."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from server.app.settings import PREFIX, Settings
from server.cli.main import app
from tests.integration.docs.shell import ROOT, Invocation, commands_of
from tests.support.doc_blocks import Block, blocks

SHELL = blocks("sh")
COMMANDS = [command for block in SHELL for command in commands_of(block)]
DISTRIBUTIONS = {"bunbase-realtime": "pyproject.toml", "bunbase": "sdk/python/pyproject.toml"}
OTHERS = {
    "cd",
    "createdb",
    "curl",
    "django-admin",
    "echo",
    "export",
    "flask",
    "kill",
    "mkdir",
    "npx",
    "pg_dump",
    "pg_dumpall",
    "pg_restore",
    "psql",
    "pytest",
    "python",
    "source",
    "uvicorn",
}
NPM = {"create": r"(vite|next-app)@latest", "run": r"dev|build|start"}
"""Commands of npm, and one of their words."""
PACKAGES_OF_OTHERS = {
    "django",
    "fastapi",
    "flask",
    "httpx",
    "pyjwt",
    "pytest",
    "sqlalchemy",
    "@tanstack/db",
    "@types/pg",
    "jose",
    "pg",
}
PACKAGES_OF_OTHERS |= {"react-native-get-random-values", "react-native-url-polyfill"}
FOLDERS = ("src", "app")
"""Of readers' projects, into which commands write."""
OPTIONS_OF_PYTEST = {"-n", "--dist", "-x", "-q", "--hypothesis-profile"}  # and of its plugins


def of(program: str) -> list[Invocation]:
    found = [command for command in COMMANDS if command.words[:1] == [program]]
    assert found, program
    return found


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_bash_reads_it(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", of("realtime"), ids=str)
def test_realtime_takes_the_arguments(command: Invocation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in FOLDERS:
        (tmp_path / folder).mkdir()
    _, *first = command.words
    while "|" in first:
        pipe = first.index("|")
        check_arguments(first[:pipe])
        assert first[pipe + 1] == "realtime"
        first = first[pipe + 2 :]
    check_arguments(first)


def check_arguments(words: list[str]) -> None:
    group: Any = get_command(app)
    context = group.context_class(group, info_name="realtime")
    while words and not words[0].startswith("-"):
        name = words.pop(0)
        found = context.command.get_command(context, name)
        assert found is not None, f"there is no command {name}"
        if not hasattr(found, "commands"):
            found.make_context(name, words, parent=context)
            return
        context = found.context_class(found, parent=context, info_name=name)
    assert words in ([], ["--version"])


@pytest.mark.parametrize("command", [each for each in COMMANDS if each.assigned], ids=str)
def test_variables_are_settings(command: Invocation) -> None:
    for name in command.assigned:
        if name.startswith(PREFIX):
            assert name.removeprefix(PREFIX).lower() in Settings.model_fields


@pytest.mark.parametrize("command", of("make"), ids=str)
def test_make_has_the_target(command: Invocation) -> None:
    rules = (ROOT / "Makefile").read_text()
    for word in command.words[1:]:
        variable, set_to, _ = word.partition("=")
        assert f"$({variable})" in rules if set_to else re.search(rf"(?m)^{word}:", rules)


@pytest.mark.parametrize("command", [*of("pip"), *of("npm")], ids=str)
def test_packages_and_extras_are_ours(command: Invocation) -> None:
    if command.words[1] in NPM:
        assert any(re.fullmatch(NPM[command.words[1]], word) for word in command.words[2:])
        return
    assert command.words[1] == "install"
    for package in re.sub(r"--prefix \S+|--save-dev", "", " ".join(command.words[2:])).split():
        name, _, extras = package.partition("[")
        if name.startswith("@bunbase/"):
            assert (ROOT / "sdk" / {"@bunbase/sdk": "js"}.get(name, name.removeprefix("@bunbase/"))).is_dir()
        elif name not in PACKAGES_OF_OTHERS:
            project = tomllib.loads((ROOT / DISTRIBUTIONS[name]).read_text())["project"]
            assert not extras or extras.rstrip("]") in project["optional-dependencies"]


@pytest.mark.parametrize("command", of("docker"), ids=str)
def test_docker_builds_what_there_is(command: Invocation) -> None:
    targets = re.findall(r"(?m)^FROM \S+ AS (\w+)$", (ROOT / "Dockerfile").read_text())
    if command.words[1] == "build":
        assert command.words[command.words.index("--target") + 1] in targets
    else:
        assert command.words[1] == "run"


def test_services_of_docker_compose_are_there() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    named = [name for block in SHELL for name in re.findall(r"docker compose exec (\w+)", block.text)]
    assert set(named) <= services.keys()
    assert named


@pytest.mark.parametrize("command", of(".venv/bin/python"), ids=str)
def test_modules_tests_and_their_options_are_there(command: Invocation) -> None:
    assert command.words[1] == "-m"
    if command.words[2] != "pytest":
        assert (ROOT / (command.words[2].replace(".", "/"))).with_suffix(".py").exists() or (
            ROOT / command.words[2].replace(".", "/") / "__main__.py"
        ).exists()
        return
    options = (ROOT / "tests" / "conftest.py").read_text()
    for word in command.words[3:]:
        if word.startswith("--") and word.removesuffix("-minutes") != word:
            assert f'"{word[2:].removesuffix("-minutes")}"' in options
        elif word.startswith("-"):
            assert word in OPTIONS_OF_PYTEST or f'"{word}"' in options
        elif "/" in word:
            assert Path(ROOT / word).exists()


def test_there_are_no_other_programs() -> None:
    checked = {"realtime", "make", "pip", "npm", "docker", ".venv/bin/python", "python3"}
    assert {command.words[0] for command in COMMANDS if command.words} - checked == OTHERS
