"""Latency against load, as an SVG: three quantiles over the rate, on a logarithmic scale of milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import ceil, floor, log10
from typing import Final

from server.bench.scenario import Figures

__all__ = ["svg"]

_WIDTH, _HEIGHT = 720, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 90, 40, 50
_QUANTILES: Final = (("p50", "#2a78d6"), ("p95", "#eda100"), ("p99", "#e34948"))
_STEPS: Final = 5


def svg(title: str, rounds: Sequence[Figures]) -> str:
    """The picture of rounds that have a rate. Raises ``ValueError`` if fewer than two have a rate and latencies."""
    points = sorted(
        (float(each["rate"]), [float(each[f"{_kind(each)}_{name}_ms"]) for name, _ in _QUANTILES])
        for each in rounds
        if "rate" in each and _kind(each)
    )
    if len(points) < 2:
        raise ValueError("a curve needs at least two rates with deliveries: give --rate more than once, or --find")
    return _Picture(title, points).text()


def _kind(figures: Figures) -> str:
    """The times that count: of deliveries, or of what clients waited for."""
    return next((kind for kind in ("latency", "complete", "answered") if f"{kind}_p50_ms" in figures), "")


class _Picture:
    def __init__(self, title: str, points: list[tuple[float, list[float]]]) -> None:
        times = [max(time, 0.001) for _, three in points for time in three]
        self._title = title
        self._points = points
        self._most = points[-1][0]
        self._low = floor(log10(min(times)))
        self._high = max(ceil(log10(max(times))), self._low + 1)

    def _x(self, rate: float) -> float:
        return _LEFT + rate / self._most * (_WIDTH - _LEFT - _RIGHT)

    def _y(self, ms: float) -> float:
        share = (log10(max(ms, 0.001)) - self._low) / (self._high - self._low)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    def text(self) -> str:
        """The document."""
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" font-size="12" '
            'font-family="system-ui, sans-serif" fill="#333">',
            f"<title>{escape(self._title)}</title>",
            f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
            f'<text x="{_LEFT}" y="22" font-size="15">{escape(self._title)}</text>',
            *self._grid(),
            *self._curves(),
            "</svg>",
        ]
        return "\n".join(parts) + "\n"

    def _grid(self) -> list[str]:
        right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
        lines = []
        for power in range(self._low, self._high + 1):
            y = self._y(10.0**power)
            lines.append(f'<line x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
            lines.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g} ms</text>')
        for step in range(_STEPS + 1):
            rate = self._most * step / _STEPS
            lines.append(f'<text x="{self._x(rate):.1f}" y="{bottom + 20}" text-anchor="middle">{rate:,.0f}</text>')
        lines.append(f'<text x="{(_LEFT + right) / 2}" y="{_HEIGHT - 10}" text-anchor="middle">per second</text>')
        return lines

    def _curves(self) -> list[str]:
        curves = []
        for number, (name, colour) in enumerate(_QUANTILES):
            places = [(self._x(rate), self._y(three[number])) for rate, three in self._points]
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            curves.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
            curves += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
            y = _TOP + 16 + 18 * number
            curves.append(f'<text x="{_WIDTH - _RIGHT + 16}" y="{y}" fill="{colour}">{name}</text>')
        return curves
