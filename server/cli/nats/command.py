"""``realtime nats-config``: writes the configuration of NATS servers, and the settings of relays and nodes to go with it."""

from __future__ import annotations

import json
import os
import re
import secrets
from pathlib import Path
from typing import Annotated, Final

import typer

from server.cli.nats.certificates import Certificate, make_certificates
from server.cli.nats.errors import NatsConfigError
from server.cli.nats.plan import PRIMARY, Files, Ports, ServerPlan, Users, address_in_url
from server.cli.nats.regions import LEAF_FILE, leaf_file, remotes_of

__all__ = ["nats_config"]

_SLOT: Final = re.compile(r"[a-z0-9_]{1,63}")
_HOST: Final = re.compile(r"[A-Za-z0-9._:-]{1,253}")
_REGION: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")
_SECRET, _OPEN = 0o600, 0o644


def nats_config(  # noqa: PLR0913 - options of the command
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the files go; those that are there stay.")],
    slot_name: Annotated[list[str], typer.Option("--slot-name", help="A slot, with users of its own; repeatable.")],
    server: Annotated[
        list[str], typer.Option("--server", help="Name or address of a NATS server; repeatable: a cluster.")
    ],
    make: Annotated[
        bool, typer.Option("--make-certificates", help="Make certificates for trying, valid for a year.")
    ] = False,
    certificate: Annotated[Path, typer.Option(help="PEM file on each server.")] = Path("/etc/nats/server.pem"),
    key: Annotated[Path, typer.Option(help="PEM file of its key on each server.")] = Path("/etc/nats/server.key"),
    ca: Annotated[Path, typer.Option(help="PEM file of who certified them.")] = Path("/etc/nats/ca.pem"),
    store: Annotated[Path, typer.Option(help="Where each server keeps the streams.")] = Path("/var/lib/nats"),
    port: Annotated[int, typer.Option(help="For relays and nodes.")] = 4222,
    cluster_port: Annotated[int, typer.Option(help="For the other servers.")] = 6222,
    leaf_port: Annotated[
        int | None, typer.Option(help="For servers of other regions. [default: none]", show_default=False)
    ] = None,
    monitoring_port: Annotated[
        int | None, typer.Option(help="HTTPS on 127.0.0.1, without a password. [default: none]", show_default=False)
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="Name of another region, which mirrors the primary one.", show_default=False)
    ] = None,
    primary: Annotated[
        Path | None, typer.Option(help=f"With --region: {LEAF_FILE} of the primary region.", show_default=False)
    ] = None,
) -> None:
    """Write configurations of NATS servers: TLS and users on every listener, rights limited to the stream of a slot."""
    slots, hosts = tuple(dict.fromkeys(slot_name)), tuple(dict.fromkeys(server))
    _check(slots, hosts, region)
    if (region is None) != (primary is None) or (region is not None and leaf_port is not None):
        raise NatsConfigError(f"--region goes with --primary, {LEAF_FILE} of a primary region that has a --leaf-port")
    remotes = () if primary is None else remotes_of(primary, slots)
    users = tuple(map(Users, slots))
    routes = f"routes:{secrets.token_urlsafe(24)}"
    ports = Ports(port, cluster_port, leaf_port, monitoring_port)
    folder = folder.absolute()
    files: dict[Path, tuple[bytes, int]] = {}
    own: dict[str, Certificate] = {}
    if make:
        ca = folder / "ca.pem"
        authority, own = make_certificates(hosts)
        files[ca] = authority, _OPEN
    for host in hosts:
        name = host.replace(":", "-")
        if make:
            certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
            files[certificate], files[key] = (own[host].certificate, _OPEN), (own[host].key, _SECRET)
        plan = ServerPlan(host, hosts, ports, Files(certificate, key, ca, store / name), users, routes, region, remotes)
        files[folder / f"{name}.conf"] = plan.text().encode(), _SECRET
    for each in users:
        for part in ("relay", "node") if region is None else ("node",):
            urls = [f"tls://{each.credentials(part)}@{address_in_url(host)}:{port}" for host in hosts]
            files[folder / f"{each.slot}-{part}.toml"] = _settings(each.slot, part, urls, ca, region), _SECRET
    if leaf_port is not None:
        files[folder / LEAF_FILE] = leaf_file(users, hosts, leaf_port, ca), _SECRET
    _write(folder, files)
    for path in files:
        print(path)


def _check(slots: tuple[str, ...], hosts: tuple[str, ...], region: str | None) -> None:
    regions = () if region is None else (region,)
    for pattern, texts, what in (
        (_SLOT, slots, "name of a slot"),
        (_HOST, hosts, "name or address of a server"),
        (_REGION, regions, "name of a region"),
    ):
        for text in texts:
            if not pattern.fullmatch(text) or (texts is regions and text == PRIMARY):
                raise NatsConfigError(f"{text!r} is not the {what}")


def _settings(slot: str, part: str, urls: list[str], ca: Path, region: str | None) -> bytes:
    """Of a relay or a node; those that make a stream there name how many servers keep it."""
    given: dict[str, object] = {"slot_name": slot, "nats_url": urls, "nats_ca": str(ca)}
    if region is not None:
        given |= {"nats_origin": PRIMARY, "node_region": region}
    if len(urls) > 2 and (part == "relay" or region is not None):
        given["nats_replicas"] = 3
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in given.items()).encode()


def _write(folder: Path, files: dict[Path, tuple[bytes, int]]) -> None:
    """All, or none if one of them is there. Those with secrets are never readable for others."""
    there = [str(path) for path in files if path.exists()]
    if there:
        raise NatsConfigError(
            f"{there[0]} is there already; passwords that are in use are not replaced: remove it first"
        )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path, (content, mode) in files.items():
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(content)
    except OSError as error:
        raise NatsConfigError(f"cannot write {error.filename}: {os.strerror(error.errno or 0)}") from error
