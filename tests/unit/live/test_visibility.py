"""What subscribers may see keeps them apart: nothing is shared between two visibilities."""

from __future__ import annotations

from itertools import product
from types import SimpleNamespace

import pytest

from engine.errors import SubscriptionFailedError
from engine.identity.visibility import ANONYMOUS, Viewer, Visibility
from engine.live.core.shared_query import LiveQuery, Subscription
from engine.live.plan_cache import Plan
from engine.live.query_registry import QueryRegistry
from engine.query.planner import reread_instead
from tests.support.values.message_stream import plan_for

MISSING = object()


def test_visibilities_are_equal_where_role_and_the_claims_that_policies_read_are() -> None:
    """Every pair of principals whose claims are null, missing or one of two values."""
    values = (MISSING, None, "red", "blue")
    principals = [
        (role, {name: value for name, value in (("org", org), ("team", team)) if value is not MISSING})
        for role, org, team in product(("member", "admin"), values, values)
    ]
    for read in ([], ["org"], ["team", "org"]):
        of = [(Visibility.of(role, claims, read), role, claims) for role, claims in principals]
        for (one, role, claims), (other, other_role, other_claims) in product(of, of):
            read_alike = all(claims.get(name, MISSING) == other_claims.get(name, MISSING) for name in read)
            assert (one == other) == (role == other_role and read_alike)
            assert one != other or hash(one) == hash(other)


def test_claims_of_other_types_or_under_other_names_are_others() -> None:
    read = ["a", "b"]
    different: list[dict[str, object]] = [
        {},
        {"a": None},
        {"a": 1},
        {"a": "1"},
        {"a": True},
        {"b": 1},
        {"a": [1]},
        {"a": {"b": 1}},
    ]
    assert len({Visibility.of("member", claims, read) for claims in different}) == len(different)
    assert Visibility.of("member", {"a": 1, "b": 2}, ["a", "b"]) == Visibility.of(
        "member", {"b": 2, "a": 1}, ["b", "a"]
    )


def test_policies_see_claims_in_the_order_of_their_names_and_those_alone_that_they_read() -> None:
    token = {"sub": "ann", "org": {"name": "Ä", "id": 12}, "aud": ["b", "a"]}
    seen = Viewer(Visibility("member"), token).reads(None, "").claims.decode()
    assert seen == '{"aud":["b","a"],"org":{"id":12,"name":"Ä"},"role":"member","sub":"ann"}'
    assert Viewer(Visibility("member"), token).reads(["sub"], "").claims == b'{"sub":"ann"}'


RED, BLUE = Visibility.of("member", {"org": "red"}, ["org"]), Visibility.of("member", {"org": "blue"}, ["org"])


@pytest.fixture(params=["incremental", "re-read"])
def plans(request: pytest.FixtureRequest) -> dict[Visibility, Plan]:
    """The same query for each visibility."""
    found: dict[Visibility, Plan] = {}
    for visibility in (ANONYMOUS, RED, BLUE):
        plan = plan_for("room", visibility)
        found[visibility] = plan if request.param == "incremental" else reread_instead(plan, "a reason")
    return found


async def test_the_registry_gives_each_visibility_a_query_of_its_own(plans: dict[Visibility, Plan]) -> None:
    assert len({plan.key for plan in plans.values()}) == 1, "they ask the same"
    assert [plan.visibility for plan in plans.values()] == list(plans)
    registry = QueryRegistry(idle_ttl=3600.0, forget=lambda _: None)

    def obtain(visibility: Visibility) -> tuple[LiveQuery, bool]:
        return registry.obtain(plans[visibility], "messages", {})

    queries = {visibility: obtain(visibility) for visibility in plans}
    assert all(is_new for _, is_new in queries.values())
    assert [query.visibility for query, _ in queries.values()] == list(plans)
    assert obtain(RED) == (queries[RED][0], False)
    subscription = Subscription(queries[RED][0], lambda *_: None, SimpleNamespace(position=0), registry.release)
    registry.release(subscription)  # without subscribers it is kept for the same visibility only
    assert obtain(BLUE) == (queries[BLUE][0], False)
    assert obtain(RED) == (queries[RED][0], False)
    queries[RED][0].end(0, SubscriptionFailedError("ended"))
    assert obtain(RED)[1]
    assert obtain(BLUE) == (queries[BLUE][0], False)
    registry.close()
