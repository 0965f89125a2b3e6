"""What `realtime nats-config` writes: NATS started with it accepts relay and node over TLS, and nothing else."""

from __future__ import annotations

import asyncio
import re
import ssl
import stat
import subprocess
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError

from engine.cluster.nats_errors import NatsRefusedError
from engine.cluster.nats_stream import NatsFailedError, connected
from engine.cluster.settings import ClusterSettings
from server.app.settings import Settings
from server.cli.doctor.finding import Finding
from server.cli.doctor.nats_checks import nats_findings
from server.cli.doctor.nats_listeners import listener_findings
from server.cli.serving.local_nats import nats_server_program
from tests.integration.cluster.conftest import Cluster, ids
from tests.integration.cluster.made_up_terms import OURS
from tests.support.ports import free_port
from tests.support.postgres.sql import GIVE_UP_AFTER, read, until
from tests.support.servers.commands import realtime
from tests.support.servers.processes import start

HOSTS = ("127.0.0.1", "127.0.0.2")


class Made:
    """What the command has written for the slots ``app`` and ``other``, on ports of the test."""

    def __init__(self, folder: Path, *hosts: str, slot: str = "app") -> None:
        self.folder, self.hosts, self.slot = folder / "made", hosts, slot
        self.client, self.cluster, self.leaf, self.monitoring = (free_port() for _ in range(4))
        self.arguments = (
            *("nats-config", str(self.folder), "--make-certificates", "--store", str(folder / "store")),
            *("--slot-name", slot, "--slot-name", "other", *(word for host in hosts for word in ("--server", host))),
            *("--port", str(self.client), "--cluster-port", str(self.cluster)),
            *("--leaf-port", str(self.leaf), "--monitoring-port", str(self.monitoring)),
        )
        self.done = realtime(*self.arguments)

    def settings(self, part: str, slot: str | None = None) -> dict[str, Any]:
        """The settings of a relay or a node."""
        return tomllib.loads((self.folder / f"{slot or self.slot}-{part}.toml").read_text())

    def reach(self, part: str, of: str | None = None, **more: Any) -> ClusterSettings:
        found = self.settings(part, of)
        given = {"urls": tuple(found["nats_url"]), "slot": found["slot_name"], "ca": Path(found["nats_ca"]), **more}
        return ClusterSettings(**given)

    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.folder / "ca.pem")

    @contextmanager
    def running(self) -> Iterator[None]:
        """The servers, each with its file."""
        program = nats_server_program()
        with ExitStack() as stack:
            for host in self.hosts:
                stack.enter_context(nats_server(program, self.folder / f"{host}.conf"))
            yield


@contextmanager
def nats_server(program: Path, config: Path) -> Iterator[None]:
    """One server; its log is beside ``config``."""
    with config.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen([program, "-c", config], stdout=log, stderr=log)
        try:
            yield
        finally:
            process.kill()
            process.wait()


async def answering(settings: ClusterSettings) -> None:
    """Wait until the servers accept the user, and serve the stream's requests."""
    async with asyncio.timeout(GIVE_UP_AFTER):
        while True:
            try:
                async with connected(settings, "a test") as stream:
                    await stream.state()
                    return
            except NatsFailedError:
                await asyncio.sleep(0.1)


@asynccontextmanager
async def client(url: str, refusals: list[str], **options: Any) -> AsyncIterator[Client]:
    """A client of NATS; what it is refused goes to ``refusals``."""

    async def refused(error: Exception) -> None:
        refusals.append(str(error).lower())

    opened = await nats.connect(url, error_cb=refused, allow_reconnect=False, connect_timeout=5, **options)
    try:
        yield opened
    finally:
        await opened.close()


def test_the_files_hide_passwords_and_keys_and_are_not_replaced(tmp_path: Path) -> None:
    made = Made(tmp_path, *HOSTS)
    assert made.done.returncode == 0, made.done.stderr
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in made.folder.iterdir()}
    assert {name for name, mode in modes.items() if mode & 0o077} == {"ca.pem", "127.0.0.1.pem", "127.0.0.2.pem"}
    before = (made.folder / "127.0.0.1.conf").read_text()
    again = realtime(*made.arguments)
    assert again.returncode == 1
    assert "is there already" in again.stderr
    assert (made.folder / "127.0.0.1.conf").read_text() == before
    assert all(f'"{part}_{slot}"' in before for part in ("relay", "node") for slot in ("app", "other"))
    refused = realtime("nats-config", str(tmp_path / "x"), "--slot-name", "a.>", "--server", "h")
    assert (refused.returncode, (tmp_path / "x").exists()) == (1, False)


def test_a_region_joins_with_the_file_of_the_primary_one(tmp_path: Path) -> None:
    made, join = Made(tmp_path, *HOSTS), tmp_path / "made" / "leaf.toml"
    assert (stat.S_IMODE(join.stat().st_mode), made.done.returncode) == (0o600, 0)
    slot = ("--slot-name", "app", *(word for number in "123" for word in ("--server", f"eu-{number}")))
    done = realtime("nats-config", str(tmp_path / "eu"), *slot, "--region", "eu", "--primary", str(join))
    assert done.returncode == 0, done.stderr
    assert sorted(each.name for each in (tmp_path / "eu").iterdir()) == [
        "app-node.toml",
        *(f"eu-{number}.conf" for number in "123"),
    ]
    node = tomllib.loads((tmp_path / "eu" / "app-node.toml").read_text())
    assert (node["nats_origin"], node["node_region"], node["nats_replicas"]) == ("primary", "eu", 3)
    text = (tmp_path / "eu" / "eu-1.conf").read_text()
    [(_, url), *_] = re.findall(r"(tls://leaf_app:([^@]+)@)", text)
    assert url in (tmp_path / "made" / "127.0.0.1.conf").read_text()
    assert "name: realtime_eu" in text, "leaf nodes of a cluster of the same name are refused"
    assert "relay_app" not in text
    for arguments, reason in (
        (("--region", "eu"), "--region goes with --primary"),
        (("--region", "primary", "--primary", str(join)), "not the name of a region"),
        (("--region", "eu", "--primary", str(tmp_path / "none")), "cannot read"),
        (("--region", "eu", "--primary", str(join), "--slot-name", "strange"), "has no slot strange"),
    ):
        refused = realtime("nats-config", str(tmp_path / "x"), *slot, *arguments)
        assert (refused.returncode, (tmp_path / "x").exists()) == (1, False)
        assert reason in refused.stderr


@pytest.mark.long
async def test_relay_and_node_work_over_tls_with_what_they_are_given(cluster: Cluster, tmp_path: Path) -> None:
    made = Made(tmp_path, *HOSTS, slot=cluster.slot)
    with made.running():
        await answering(made.reach("relay"))
        cluster.settings = made.reach("node")
        await cluster.relay(**made.settings("relay"))
        node = await cluster.node()
        rows, room = await node.follow(), await node.listen("room")
        cluster.insert(1)
        await node.publish("room", "hello")
        await rows.until(lambda: ids(rows) == [1])
        await room.until(lambda: room.data == ["hello"])
        await cluster.close()


async def test_a_relay_with_the_user_of_another_slot_names_it_and_makes_no_slot(
    cluster: Cluster, tmp_path: Path
) -> None:
    """A slot that it made would keep WAL that nothing reads."""
    made = Made(tmp_path, "127.0.0.1", slot=cluster.slot)
    with made.running():
        await answering(made.reach("relay"))
        refused = await cluster.relay(health=503, **made.settings("relay", "other") | {"slot_name": cluster.slot})
        [problem] = (await refused.health())[1]["problems"]
        assert f"NATS does not let this user use the stream {cluster.settings.stream}" in problem
        assert "check slot_name, and the user in nats_url" in problem
        assert not read(cluster.dsn, "select from pg_replication_slots where database = current_database()")
        config = made.settings("node", "other") | {"slot_name": cluster.slot, "log_format": "json"}
        node = await start("serve", "--dsn", cluster.dsn, port=free_port(), config=config)
        try:
            await until(lambda: any("check slot_name" in line for line in node.lines))
        finally:
            await node.end()


@pytest.mark.long
async def test_nats_refuses_plain_text_strangers_and_other_subjects(tmp_path: Path) -> None:
    made = Made(tmp_path, "127.0.0.1")
    address, trusting = f"127.0.0.1:{made.client}", made.trusting()
    with made.running():
        await answering(made.reach("relay"))
        refusals: list[str] = []
        for url, options in (
            (f"tls://{address}", {"tls": trusting}),  # no user
            (f"tls://node_app:wrong@{address}", {"tls": trusting}),
            (f"nats://{address}", {"tls": ssl.create_default_context()}),  # an authority that it does not know
        ):
            with pytest.raises((NatsError, OSError)):
                async with client(url, refusals, **options):
                    pass
        plain = await asyncio.open_connection("127.0.0.1", made.client)
        await plain[0].readline()
        plain[1].write(b'CONNECT {"verbose":true,"user":"node_app","pass":"x"}\r\nPING\r\n')
        assert b"PONG" not in await plain[0].read()
        plain[1].close()
        async with connected(made.reach("relay"), "a test") as stream:
            await stream.make()
        async with connected(made.reach("node"), "a test") as stream:
            assert await stream.state() is not None
            assert not await stream.sees_everything()
            with pytest.raises(NatsFailedError):
                await stream.make()
        for settings in (made.reach("relay", slot="other"), made.reach("node", "other", slot="app")):
            async with connected(settings, "a test") as stream:
                with pytest.raises(NatsRefusedError, match="check slot_name, and the user in nats_url"):
                    await stream.state()
        [url] = made.settings("node")["nats_url"]
        [leaf] = tomllib.loads((made.folder / "leaf.toml").read_text())["slots"]["app"]
        with pytest.raises((NatsError, OSError)):
            async with client(leaf.replace(str(made.leaf), str(made.client)), refusals, tls=trusting):
                pass
        for subject in ("realtime.other.control", "realtime.app.events", "$JS.API.STREAM.PURGE.realtime_app"):
            refusals.clear()
            async with client(url, refusals, tls=trusting) as node:
                await node.publish(subject, b"")
                await until(lambda: any("permissions violation for publish" in each for each in refusals))
        for subject in ("realtime.app.events", "realtime.other.events", ">"):
            refusals.clear()
            async with client(url, refusals, tls=trusting) as node:
                await node.subscribe(subject)
                await until(lambda: any("permissions violation for subscription" in each for each in refusals))


@pytest.mark.long
async def test_doctor_is_content_with_it_and_finds_open_listeners(tmp_path: Path) -> None:
    made = Made(tmp_path, *HOSTS)
    ports = made.cluster, made.leaf, made.monitoring
    with made.running():
        await answering(made.reach("relay"))
        async with connected(made.reach("relay"), "a test") as stream:
            await stream.make()
        found = made.settings("node")
        settings = Settings(nats_url=tuple(found["nats_url"]), nats_ca=Path(found["nats_ca"]), slot_name="app")
        levels = await asyncio.to_thread(lambda: [(each.level, each.text) for each in nats_findings(settings, OURS)])
        assert [level for level, _ in levels] == ["ok", "ok"], levels
        assert await listener_findings("NATS", "127.0.0.1", ports) == []
    (tmp_path / "open.conf").write_text(
        f'listen: "127.0.0.2:{made.client}"\nhttp: "127.0.0.2:{made.monitoring}"\n'
        f'cluster {{ name: a, listen: "127.0.0.2:{made.cluster}" }}\nleafnodes {{ listen: "127.0.0.2:{made.leaf}" }}\n'
    )
    with nats_server(nats_server_program(), tmp_path / "open.conf"):
        texts: list[str] = []
        async with asyncio.timeout(GIVE_UP_AFTER):
            while len(texts) < 4:
                texts = [each.text for each in await listener_findings("NATS", "127.0.0.2", ports)]
    assert ["TLS" in texts[0], "any server" in texts[1], "leaf" in texts[2], "monitoring" in texts[3]] == [True] * 4


async def test_doctor_finds_a_listener_for_leaf_nodes_that_asks_for_no_password(tmp_path: Path) -> None:
    """Its greeting claims that it does."""
    made, file = Made(tmp_path, "127.0.0.1"), tmp_path / "leaf.conf"
    tls = f'tls {{ cert_file: "{made.folder}/127.0.0.1.pem", key_file: "{made.folder}/127.0.0.1.key" }}'
    file.write_text(f'listen: "127.0.0.1:{made.client}"\nleafnodes {{ listen: "127.0.0.1:{made.leaf}", {tls} }}\n')
    ports = free_port(), made.leaf, free_port()
    found: list[Finding] = []
    with nats_server(nats_server_program(), file):
        async with asyncio.timeout(GIVE_UP_AFTER):
            while not found:  # it may not listen yet
                found = await listener_findings("NATS", "127.0.0.1", ports)
    [(level, text)] = [(each.level, each.text) for each in found]
    assert (level, "leaf" in text, "lets in any server" in text) == ("problem", True, True)


async def test_doctor_finds_a_server_that_takes_whom_it_does_not_know_for_a_user(tmp_path: Path) -> None:
    """``no_auth_user`` (GHSA-38x3-76xf-cq45), with which it asks for a password all the same."""
    port = free_port()
    (tmp_path / "nats.conf").write_text(
        f'listen: "127.0.0.1:{port}"\njetstream {{ store_dir: "{tmp_path}/store" }}\nno_auth_user: realtime\n'
        'authorization { users: [{ user: realtime, password: "x" }] }\n'
    )
    settings = Settings(nats_url=(f"nats://realtime:x@127.0.0.1:{port}",), slot_name="app")
    texts: list[str] = []
    with nats_server(nats_server_program(), tmp_path / "nats.conf"):
        async with asyncio.timeout(GIVE_UP_AFTER):
            while not any("does not speak TLS" in text for text in texts):  # it may not listen yet
                texts = await asyncio.to_thread(lambda: [each.text for each in nats_findings(settings, OURS)])
    assert f"NATS at nats://127.0.0.1:{port} lets in anyone, who may then read every row" in texts


async def test_no_password_is_sent_to_a_server_that_does_not_speak_tls() -> None:
    received = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"server_id":"x","version":"2.11.0","max_payload":1048576,"auth_required":true}\r\n')
        received.extend(await reader.read())
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(NatsFailedError, match="does not speak TLS"):
            async with connected(ClusterSettings(urls=(f"tls://u:secret@127.0.0.1:{port}",), slot="s"), "a test"):
                pass
    assert b"secret" not in received
