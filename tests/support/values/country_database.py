"""Databases of countries in MaxMind's format, of few networks."""

from __future__ import annotations

import os
from pathlib import Path

import netaddr
from mmdb_writer import MMDBWriter

__all__ = ["country_database"]


def country_database(path: Path, **countries: str) -> Path:
    """Writes one that has a network for each country, by its code, in place of the file that may be there."""
    writer = MMDBWriter(ip_version=6, ipv4_compatible=True, database_type="Test-Country")
    for country, network in countries.items():
        writer.insert_network(netaddr.IPSet([network]), {"country": {"iso_code": country}})
    fresh = path.with_suffix(".new")
    writer.to_db_file(str(fresh))
    os.replace(fresh, path)
    return path
