"""Commands about connected clients and channels, the JSON of commands, and the explanation of error codes."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from engine.errors import ErrorCode
from server.cli.local_postgres import LocalPostgres
from server.cli.reference.errors import explanation, explanations
from server.cli.terminal.output import print_records
from tests.support.clients.list_client import write
from tests.support.clients.users import running_server, user_client
from tests.support.servers.commands import realtime
from tests.support.servers.processes import GIVE_UP_AFTER


async def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(realtime, *arguments)


async def test_connections_and_channels_are_listed_and_ended_from_the_terminal(database: str) -> None:
    async with running_server(database) as server, user_client(server, "ada") as ada, user_client(server, "bob") as bob:
        await ada.join(presence={"name": "Ada"})
        await bob.join()
        here = ("--dsn", database)
        everyone = json.loads((await command("connections", "--json", *here)).stdout)
        assert {each["user"] for each in everyone} == {"ada", "bob"}
        [one] = json.loads(
            (await command("connections", "--user", "ada", "--channel", "chat:1", "--json", *here)).stdout
        )
        assert (one["id"], one["channels"], one["transport"]) == (ada.id, ["chat:1"], "websocket")
        heads, *lines = (await command("connections", *here)).stdout.splitlines()
        assert heads.split() == ["ID", "USER", "NODE", "TRANSPORT", "IP", "CONNECTED", "AT", "CHANNELS"]
        assert len(lines) == 2
        async with asyncio.timeout(GIVE_UP_AFTER):
            while True:  # nodes write their figures every two seconds
                found = json.loads((await command("channels", "chat:*", "--json", *here)).stdout)
                if found and found[0]["subscribers"] == 2:
                    break
        assert (found[0]["channel"], found[0]["members"], found[0]["room"]) == ("chat:1", 1, False)
        assert json.loads((await command("channels", "chat_*", "--json", *here)).stdout) == []
        kicked = await command("kick", "chat:1", "ada", "--reason", "enough", *here)
        assert kicked.stdout == "ada is removed from chat:1, where 1 connection of the user was present\n"
        refused = await ada.receive("error")
        assert (refused["code"], refused["channel"]) == ("RT_003", "chat:1")
        assert "enough" in refused["message"]
        assert (await command("disconnect", ada.id, *here)).stdout == "1 connection ended\n"
        assert (await command("disconnect", "--user", "bob", *here)).stdout == "1 connection ended\n"
        await asyncio.gather(ada.socket.wait_closed(), bob.socket.wait_closed())
        assert (ada.socket.close_code, bob.socket.close_code) == (4001, 4001)
        again = await command("disconnect", ada.id, *here)
        assert (again.returncode, again.stderr) == (1, f"realtime: there is no connection {ada.id}\n")
        assert (await command("disconnect", *here)).returncode == 2


def test_doctor_and_slots_print_json_documents(database: str, pg18: LocalPostgres) -> None:
    done = realtime("doctor", "--json", "--dsn", database)
    document = json.loads(done.stdout)
    assert document.keys() == {"version", "ok", "problems", "warnings", "findings"}
    assert (document["ok"], document["problems"], done.returncode) == (True, 0, 0)
    plain = realtime("doctor", "--dsn", database).stdout
    assert all(f"{each['level']:<8} {each['text']}" in plain for each in document["findings"] if each["level"] == "ok")
    unmigrated = realtime("doctor", "--json", "--dsn", pg18.dsn_for("postgres"))
    problems = [each for each in json.loads(unmigrated.stdout)["findings"] if each["level"] == "problem"]
    assert (unmigrated.returncode, problems[0]["remedy"]) == (1, ["Run `realtime migrate`."])
    slots = json.loads(realtime("slots", "--json", "--dsn", database).stdout)
    assert slots == json.loads(realtime("slots", "list", "--json", "--dsn", database).stdout)


def test_every_error_code_is_explained_in_the_words_of_the_documentation() -> None:
    assert list(explanations()) == [code.value for code in ErrorCode]
    for code in ErrorCode:
        text = explanation(code.value)
        assert "  Cause: " in text
        assert "  Cure: " in text
        assert not any(mark in text for mark in ("](", "**", "`"))
    asked = realtime("errors", "rt006")
    assert asked.stdout.startswith("RT_006: rate limit exceeded\n  Cause: ")
    assert len(realtime("errors").stdout.splitlines()) == len(ErrorCode)
    unknown = realtime("errors", "RT_099")
    assert unknown.returncode == 2
    assert "there is no code RT_099; there are RT_001, " in unknown.stderr


async def test_tail_follows_channels_and_live_queries_one_json_message_a_line(database: str) -> None:
    write(
        database,
        "create table items (id int primary key)",
        "insert into items values (1)",
        "select realtime.expose('items')",
    )
    async with running_server(database) as server:
        write(database, "select realtime.broadcast('public:news', 'sent', '1')")
        write(database, "select realtime.broadcast('public:news', 'sent', '\"\\u009b2J\"')")
        at = ("--url", server.url)
        followed = await command("tail", "public:news", "--history", "2", "--count", "2", *at)
        listed = await command("tail", "db:collection:items", "--query", '{"limit": 5}', "--count", "1", *at)
        unknown = await command("tail", "db:collection:nothing", *at)
        subscribed, *messages = map(json.loads, followed.stdout.splitlines())
        assert subscribed["type"] == "subscribed"
        assert [message["data"] for message in messages] == [1, "\x9b2J"]
        assert "\x9b" not in followed.stdout
        subscribed, snapshot = map(json.loads, listed.stdout.splitlines())
        assert (subscribed["strategy"], snapshot["changes"][0]["doc"]["id"]) == ("incremental", "1")
        assert unknown.returncode == 1
        assert unknown.stderr.startswith("realtime: RT_004: ")
        for arguments in (("public:news", "--query", "{}"), ("db:collection:items", "--query", "where")):
            assert (await command("tail", *arguments, *at)).returncode == 2
    away = await command("tail", "public:news", *at)
    assert away.returncode == 1
    assert "cannot be reached" in away.stderr


async def test_top_prints_one_page_where_there_is_no_terminal(database: str) -> None:
    async with running_server(database) as server, user_client(server, "ada") as ada:
        assert (await ada.join("public:news"))["type"] == "subscribed"
        async with asyncio.timeout(GIVE_UP_AFTER):
            while True:  # nodes write their figures every two seconds
                look = json.loads((await command("top", "--json", "--dsn", database)).stdout)
                if look["channels"]:
                    break
        assert look.keys() == {"nodes", "slots", "channels", "queries"}
        [node] = look["nodes"]
        assert (node["state"], node["connections"], node["subscriptions"]) == ("ok", 1, 1)
        assert node["node"] in {slot["node"] for slot in look["slots"]}
        page = (await command("top", "--dsn", database)).stdout
        assert [line for line in page.splitlines() if line.isupper() and " " not in line] == [
            "NODES",
            "SLOTS",
            "CHANNELS",
        ]
        assert "QUERIES: none" in page
        assert "public:news" in page


def test_control_characters_of_clients_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_records(("user", "channels"), [{"user": "a\x1b[2J\u202e", "channels": ["b\x9b1m"]}], as_json=False)
    assert capsys.readouterr().out.splitlines()[1] == "a\\u001b[2J\\u202e  b\\u009b1m"


def _interruptible() -> None:
    """A run of tests in the background inherits that SIGINT is ignored, and its children do."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_top_draws_its_page_again_on_a_terminal_until_it_is_interrupted(database: str) -> None:
    """On one of 24 lines and 80 columns, which has all four lists, and of nodes first what they do now."""
    write(
        database,
        "insert into realtime.nodes (id, host, pid, started_at, lease_expires_at, schema_version) "
        "values ('a_node', 'h', 1, now(), now() + '1 hour', 1)",
        "insert into realtime.node_stats values ('a_node', '1', 'ok', null, '0/1', 0, 0, 0, 0, 5, 5)",
        "select realtime.create_channel('room:' || n) from generate_series(1, 30) n",
    )
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    arguments = [sys.executable, "-m", "server", "top", "--interval", "0.5", "--dsn", database]
    with (
        subprocess.Popen(
            arguments, stdin=terminal, stdout=terminal, stderr=terminal, preexec_fn=_interruptible
        ) as process,
        os.fdopen(screen, "rb", 0) as shown,
    ):
        os.close(terminal)
        text = b""
        while text.count(b"\x1b[HNODES") < 3:
            text += shown.read(1024)
        process.send_signal(signal.SIGINT)
        assert process.wait(GIVE_UP_AFTER) == 130
    page = text.decode().split("\x1b[H")[2].replace("\x1b[K", "").replace("\x1b[J", "").splitlines()
    assert len(page) < 24
    assert max(map(len, page)) <= 80
    assert [line for line in page if line.isupper() and len(line.split()) == 1] == ["NODES", "CHANNELS"]
    assert {"SLOTS: none", "QUERIES: none"} <= set(page)
    assert page[1].split()[:4] == ["NODE", "STATE", "MESSAGES/S", "READS/S"]
    assert page[2].split()[:4] == ["a_node", "ok", "0.0", "0.0"]


async def test_top_is_not_cut_where_there_is_no_terminal(database: str) -> None:
    name = "room:" + "x" * 200
    write(database, f"select realtime.create_channel('{name}')")
    assert f"{name}  0  " in (await command("top", "--dsn", database)).stdout


async def test_a_token_file_without_a_token_is_named(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("\n")
    done = await command("tail", "public:news", "--token-file", str(tmp_path / "token"))
    assert (done.returncode, "--token-file has no token" in done.stderr) == (1, True)
