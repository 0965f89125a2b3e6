"""Reads what a server exposes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tests.support.servers.processes import GIVE_UP_AFTER, ServerProcess

__all__ = ["Scrape", "scrape", "until"]


@dataclass(frozen=True)
class Scrape:
    """The samples of one answer. ``names``: of the metrics of the server itself."""

    samples: list[tuple[str, dict[str, str], float]]
    names: frozenset[str]

    def value(self, name: str, **labels: str) -> float:
        """The sum of the series with these labels; of a histogram the number of observations."""
        wanted = labels.items()
        names = (name, f"{name}_count")
        return sum(value for each, found, value in self.samples if each in names and wanted <= found.items())


async def scrape(server: ServerProcess, key: str) -> Scrape:
    async with httpx.AsyncClient(timeout=GIVE_UP_AFTER) as http:
        answer = await http.get(f"{server.url}/metrics", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 200, answer.text
    families = list(text_string_to_metric_families(answer.text))
    names = {f"{each.name}_total" if each.type == "counter" else each.name for each in families}
    samples = [(sample.name, sample.labels, sample.value) for each in families for sample in each.samples]
    return Scrape(samples, frozenset(name for name in names if name.startswith("realtime_")))


async def until(server: ServerProcess, key: str, holds: Callable[[Scrape], bool]) -> Scrape:
    """Scrape until it holds."""
    async with asyncio.timeout(GIVE_UP_AFTER):
        while not holds(found := await scrape(server, key)):  # noqa: ASYNC110 - another process is waited for
            await asyncio.sleep(0.05)
    return found
