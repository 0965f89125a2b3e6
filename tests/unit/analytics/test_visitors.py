"""The country of a client, and whether it wants to be counted: from headers, and from a database of addresses."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from server.analytics.countries import Countries, CountryDatabase, CountryDatabaseError
from server.analytics.settings import AnalyticsSettings
from server.auth.identity import HandshakeRejectedError, HandshakeRequest
from server.cli.doctor.country_database import country_database_findings
from server.http.visitor import Visitor, VisitorHeaders
from tests.support.values.country_database import country_database

ANYONE = HandshakeRequest(ip="192.0.2.1")


def read(headers: VisitorHeaders, proxied: bool, **given: list[str]) -> tuple[str | None, bool]:
    visitor = headers.read(lambda name: given.get(name.decode().replace("-", "_"), []), proxied=proxied)
    found = visitor.added_to(ANYONE)
    assert found.ip == ANYONE.ip
    return found.country, found.opts_out


def test_the_header_of_the_country_is_believed_from_trusted_proxies_alone() -> None:
    headers = VisitorHeaders("CF-IPCountry")
    assert read(headers, True, cf_ipcountry=["DE"]) == ("DE", False)
    assert read(headers, False, cf_ipcountry=["DE"]) == (None, False)
    assert read(headers, True, cf_ipcountry=["DE", "FR"]) == (None, False)
    assert read(VisitorHeaders(), True, cf_ipcountry=["DE"]) == (None, False)


@pytest.mark.parametrize("name", ["dnt", "sec_gpc"])
def test_clients_that_do_not_want_to_be_tracked_opt_out_where_that_is_respected(name: str) -> None:
    assert read(VisitorHeaders(), False, **{name: ["1"]}) == (None, True)
    assert read(VisitorHeaders(), False, **{name: ["0"]}) == (None, False)
    assert read(VisitorHeaders(respect_do_not_track=False), False, **{name: ["1"]}) == (None, False)


def test_clients_opt_out_in_their_address_too_and_other_values_are_refused() -> None:
    def asked(text: str) -> bool:
        return Visitor().added_to(HandshakeRequest(query={"analytics": text})).opts_out

    assert (asked("off"), asked("on")) == (True, False)
    with pytest.raises(HandshakeRejectedError, match="analytics: on or off"):
        asked("no")


def test_countries_are_those_of_the_database_then_those_of_the_header_then_unknown(tmp_path: Path) -> None:
    path = country_database(tmp_path / "countries.mmdb", DE="192.0.2.0/24", FR="2001:db8::/48")
    countries = Countries(CountryDatabase(path), header=True)
    assert countries.of(HandshakeRequest(ip="192.0.2.1", country="US")) == "DE"
    assert countries.of(HandshakeRequest(ip="2001:db8::5")) == "FR"
    assert countries.of(HandshakeRequest(ip="198.51.100.1", country="us")) == "US"
    for country in (None, "XX", "T1", "ZZ", "DEU", "D", "Ж1", "<>"):
        assert countries.of(HandshakeRequest(ip="198.51.100.1", country=country)) == "ZZ"
    assert countries.of(HandshakeRequest(ip=None)) == "ZZ"
    assert countries.of(HandshakeRequest(ip="no address")) == "ZZ"
    assert Countries(None, header=False).of(HandshakeRequest(ip="192.0.2.1", country="DE")) is None


def test_a_database_that_was_replaced_is_read_anew_and_a_broken_one_passed_over(tmp_path: Path) -> None:
    path = country_database(tmp_path / "countries.mmdb", DE="192.0.2.0/24")
    found = CountryDatabase(path)
    assert found.country("192.0.2.1") == "DE"
    country_database(path, FR="192.0.2.0/24")
    found.renew()
    assert found.country("192.0.2.1") == "FR"
    broken = tmp_path / "broken"
    broken.write_bytes(b"no database")
    os.replace(broken, path)
    with capture_logs() as logs:
        found.renew()
    assert [each["event"] for each in logs] == ["country_database_unreadable"]
    assert found.country("192.0.2.1") == "FR"
    found.close()


def _of_another_format(path: Path) -> None:
    path.write_bytes(b"network,country\n192.0.2.0/24,DE\n")


def test_a_database_that_is_overwritten_in_place_serves_on_until_it_is_read_anew(tmp_path: Path) -> None:
    path = country_database(tmp_path / "countries.mmdb", DE="192.0.2.0/24")
    found = CountryDatabase(path)
    path.write_bytes(bytes(path.stat().st_size))
    assert found.country("192.0.2.1") == "DE"


def test_a_damaged_record_is_an_unknown_country_and_named_once(tmp_path: Path) -> None:
    path = country_database(tmp_path / "countries.mmdb", DE="192.0.2.0/24", FR="198.51.100.0/24")
    content = path.read_bytes()
    record = content.index(b"country")  # the first of the data: the key of each record
    path.write_bytes(content[: record - 2] + b"\x00\x00" + content[record:])
    found = CountryDatabase(path)
    with capture_logs() as logs:
        assert [found.country(address) for address in ("192.0.2.1", "192.0.2.2")] == [None, None]
    assert [each["event"] for each in logs] == ["country_database_unreadable"]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda _: None, "No such file or directory"),
        (Path.mkdir, "Is a directory"),
        (Path.touch, "valid MaxMind DB file"),
        (_of_another_format, "valid MaxMind DB file"),
    ],
    ids=["missing", "a folder", "empty", "another format"],
)
def test_the_doctor_names_a_database_that_cannot_be_read_and_what_to_do(
    make: Callable[[Path], object], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "countries.mmdb"
    make(path)
    with pytest.raises(
        CountryDatabaseError, match=rf"{path} cannot be read .*{reason}.*\. Name a file in MaxMind's format"
    ):
        CountryDatabase(path)
    [found] = country_database_findings(AnalyticsSettings(country_database=path))
    assert (found.level, str(path) in found.text, reason in found.text) == ("problem", True, True), found
    assert found.remedy.startswith("Name a file in MaxMind's format (.mmdb)")
    assert list(country_database_findings(AnalyticsSettings(analytics=False, country_database=path))) == []


def test_the_doctor_names_the_package_that_reads_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = AnalyticsSettings(country_database=country_database(tmp_path / "countries.mmdb", DE="192.0.2.0/24"))
    [found] = country_database_findings(settings)
    assert (found.level, found.remedy) == ("ok", "")
    monkeypatch.setitem(sys.modules, "maxminddb", None)
    [found] = country_database_findings(settings)
    assert (found.level, "maxminddb" in found.text) == ("problem", True)
    assert found.remedy.startswith("Run pip install 'bunbase-realtime[geo]'")


def test_the_age_of_a_database_is_no_finding(tmp_path: Path) -> None:
    path = country_database(tmp_path / "countries.mmdb", DE="192.0.2.0/24")
    os.utime(path, (0, 0))
    assert [each.level for each in country_database_findings(AnalyticsSettings(country_database=path))] == ["ok"]
    assert list(country_database_findings(AnalyticsSettings())) == []
