"""Certificates: what is refused with which reason, the warning before the end, and a renewed one for new connections."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvicorn

from server.app.loading import load_settings
from server.app.settings import Settings, SettingsError
from server.app.tls import Certificate, CertificateError, certificate_of, listening_with
from server.app.uvicorn_http import HttpProtocol
from server.cli.doctor.certificate import certificate_findings
from server.workers.entrance import Server
from tests.support.values.certificates import Authority, encrypted


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def _presented(certificate: Certificate, authority: Authority, client: ssl.SSLContext | None = None) -> tuple[str, str]:
    """The name in the certificate that a client sees in a new handshake, and the protocol's version."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = (client or authority.client()).wrap_bio(to_client, to_server, server_hostname="localhost")
    other = certificate.context.wrap_bio(to_server, to_client, server_side=True)
    waiting = [one, other]
    while waiting:
        for each in tuple(waiting):
            try:
                each.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(each)
    found = one.getpeercert()
    assert found is not None
    return dict(part for parts in found["subject"] for part in parts)["commonName"], one.version() or ""  # type: ignore[misc]


def test_clients_that_trust_the_authority_get_the_certificate_with_the_newest_tls(authority: Authority) -> None:
    assert _presented(Certificate(*authority.certify()), authority) == ("localhost", "TLSv1.3")


def test_tls_1_2_is_spoken_and_nothing_older(authority: Authority) -> None:
    certificate = Certificate(*authority.certify())
    old = authority.client()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert _presented(certificate, authority, old)[1] == "TLSv1.2"
    older = authority.client()
    older.set_ciphers("DEFAULT:@SECLEVEL=0")  # so that the client would
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        older.minimum_version = older.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol"):
        _presented(certificate, authority, older)


def test_a_certificate_and_its_key_can_be_in_one_file(authority: Authority, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(b"".join(each.read_bytes() for each in authority.certify()))
    certificate = certificate_of(load_settings(None, tls_certificate=both))
    assert certificate is not None
    assert _presented(certificate, authority)[0] == "localhost"


def _missing(authority: Authority, folder: Path) -> tuple[Path, Path]:
    return authority.certify()[0], folder / "no such file"


def _swapped(authority: Authority, folder: Path) -> tuple[Path, Path]:
    chain, key = authority.certify()
    return key, chain


def _of_another(authority: Authority, folder: Path) -> tuple[Path, Path]:
    return authority.certify()[0], authority.certify("other")[1]


def _encrypted(authority: Authority, folder: Path) -> tuple[Path, Path]:
    chain, key = authority.certify()
    return chain, encrypted(key)


def _garbage(authority: Authority, folder: Path) -> tuple[Path, Path]:
    file = folder / "garbage"
    file.write_bytes(b"\0\xff no PEM")
    return file, file


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (_missing, "no such file cannot be read: No such file or directory"),
        (_of_another, r"the key in .*other\.key is not the key of the certificate in .*localhost\.pem"),
        (_encrypted, r"the key in .*localhost\.encrypted is encrypted; store it without a password"),
        (_swapped, "are not a certificate and its key in PEM"),
        (_garbage, "are not a certificate and its key in PEM"),
        (lambda _, folder: (folder, folder), "cannot be read: Is a directory"),
    ],
)
def test_files_of_no_use_are_refused_with_the_reason(
    files: Callable[[Authority, Path], tuple[Path, Path]], reason: str, authority: Authority, tmp_path: Path
) -> None:
    chain, key = files(authority, tmp_path)
    with pytest.raises(CertificateError, match=reason):
        Certificate(chain, key)
    [finding] = certificate_findings(load_settings(None, tls_certificate=chain, tls_key=key))
    assert finding.level == "problem"
    assert finding.remedy


def test_a_key_without_a_certificate_is_refused() -> None:
    with pytest.raises(SettingsError, match="tls_key is given without tls_certificate"):
        load_settings(None, tls_key="server.key")


@pytest.mark.parametrize(
    ("days", "level"), [(30, "ok"), (15, "ok"), (13, "warn"), (0.5, "warn"), (-1, "problem")], ids=str
)
def test_doctor_warns_before_the_end_of_a_certificate(days: float, level: str, authority: Authority) -> None:
    chain, key = authority.certify(valid=timedelta(days=days))
    [finding] = certificate_findings(load_settings(None, tls_certificate=chain, tls_key=key))
    assert finding.level == level, finding
    assert (Certificate(chain, key).warning(datetime.now(UTC)) is None) == (level == "ok")


def test_a_server_without_tls_has_no_certificate_and_no_finding() -> None:
    assert certificate_of(Settings()) is None
    assert list(certificate_findings(Settings())) == []


def test_new_connections_get_a_renewed_certificate_as_soon_as_it_fits_its_key(authority: Authority) -> None:
    chain, key = authority.certify()
    certificate = Certificate(chain, key)
    new_chain, new_key = authority.certify("renewed", timedelta(days=60))
    assert not certificate.renew()
    chain.write_bytes(new_chain.read_bytes())  # its key is written a moment later
    with pytest.raises(CertificateError, match="is not the key of"):
        certificate.renew()
    assert _presented(certificate, authority)[0] == "localhost"
    key.write_bytes(new_key.read_bytes())
    assert certificate.renew()
    assert _presented(certificate, authority)[0] == "renewed"
    assert certificate.expires > datetime.now(UTC) + timedelta(days=50)
    assert not certificate.renew()


async def test_a_client_that_does_not_finish_its_handshake_is_dropped(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HttpProtocol, "head_timeout", 0.2)
    config = uvicorn.Config(lambda *_: None, lifespan="off", log_config=None)
    config.load()
    server = Server(config, listening_with(Certificate(*authority.certify())))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await server.startup([listener])
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        async with asyncio.timeout(30):  # the event loop's own limit is a minute
            assert await reader.read() == b""
        writer.close()
        for each in server.servers:
            each.close()
            await each.wait_closed()
