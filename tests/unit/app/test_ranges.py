"""Files of the pages, asked for in thousands of ranges: the answer is never larger than the file."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette

from server.dashboard import dashboard_routes
from server.demo import routes

RANGES = {
    "each-second-byte": ",".join(f"{at}-{at}" for at in range(0, 11_000, 2)),
    "the-whole-again-and-again": ",".join(["0-"] * 15_000),
    "the-whole-and-a-comma": "0-," * 12_000,
    "nested": ",".join(f"{at}-" for at in range(10_000)),
    "overlapping": ",".join(f"{at}-{at + 2}" for at in range(6_000)),
    "one-byte-again-and-again": "0-0," * 9_000 + "1-1",
}


@pytest.mark.parametrize("path", ["/", "/demo/static/app.js", "/dashboard", "/dashboard/static/shared/lib/dom.js"])
async def test_thousands_of_ranges_make_no_answer_larger_than_the_file(path: str) -> None:
    app = Starlette(routes=[*dashboard_routes(), *routes("dbname=none")])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost") as http:
        whole = await http.get(path)
        assert whole.status_code == 200
        for name, ranges in RANGES.items():
            answer = await http.get(path, headers={"Range": f"bytes={ranges}"})
            assert answer.status_code in (200, 206, 400, 416), name
            assert len(answer.content) <= len(whole.content), name
