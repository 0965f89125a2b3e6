"""The doctor warns of minor releases of PostgreSQL whose row-level security has known holes."""

from __future__ import annotations

import pytest

from server.cli.doctor.row_security import row_security_findings


@pytest.mark.parametrize("version", [140_024, 150_019, 150_020, 160_015, 170_011, 180_006, 190_000])
def test_a_release_without_a_known_hole_gives_no_warning(version: int) -> None:
    assert list(row_security_findings(version)) == []


@pytest.mark.parametrize(
    ("version", "holes", "remedy"),
    [
        (140_007, ("CVE-2023-2455", "CVE-2024-10976", "CVE-2025-8713", "CVE-2026-14666"), "14.24"),
        (150_002, ("CVE-2023-2455", "CVE-2024-10976", "CVE-2025-8713", "CVE-2026-14666"), "15.19"),
        (150_003, ("CVE-2024-10976", "CVE-2025-8713", "CVE-2026-14666"), "15.19"),
        (150_013, ("CVE-2025-8713", "CVE-2026-14666"), "15.19"),
        (160_004, ("CVE-2024-10976", "CVE-2025-8713", "CVE-2026-14666"), "16.15"),
        (160_009, ("CVE-2025-8713", "CVE-2026-14666"), "16.15"),
        (170_000, ("CVE-2024-10976", "CVE-2025-8713", "CVE-2026-14666"), "17.11"),
        (170_005, ("CVE-2025-8713", "CVE-2026-14666"), "17.11"),
        (170_010, ("CVE-2026-14666",), "17.11"),
        (180_000, ("CVE-2026-14666",), "18.6"),
    ],
)
def test_a_release_with_known_holes_is_named_with_the_one_that_closes_all(
    version: int, holes: tuple[str, ...], remedy: str
) -> None:
    [finding] = row_security_findings(version)
    assert finding.level == "warn"
    assert finding.text.endswith(f"may show rows that policies hide: {', '.join(holes)}")
    assert f"PostgreSQL {remedy} " in finding.remedy
