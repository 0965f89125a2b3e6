"""Rules decide before the kind of the channel does; refusals are as of what is committed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from engine.channels.core.access_rules import AccessRules
from engine.channels.core.messages.model import UnavailableError
from engine.identity.principal import Principal
from engine.identity.visibility import Visibility
from server.auth.authorizer import Action, Basis, Circumstances, NameRules, NotAllowedError
from server.rules.authorizer import RuleAuthorizer
from server.rules.problems import RuleProblems

ANN = Principal("ann", {"team": "red"}, Visibility("member"), claims={"org": "acme"}, authenticated=True)
NAMED = Principal("anon-1")  # an anonymous client that is known again
ANONYMOUS = Principal()


class Source:
    """Rules and rooms; ``committed`` is what the next look at the database brings."""

    def __init__(self, rules: Mapping[str, str], rooms: Mapping[str, str] | None = None) -> None:
        self.rules = AccessRules()
        self.put(rules)
        self.rooms: dict[str, Mapping[str, str | None]] = {
            name: {"name": name, "metadata": text, "created_by": "ann"} for name, text in (rooms or {}).items()
        }
        self.committed: Mapping[str, str] | None = None
        self.looks = 0
        self.away = False

    def put(self, rules: Mapping[str, str]) -> None:
        self.rules.load([{"channel": pattern, "rules": text} for pattern, text in rules.items()])

    def room(self, channel: str) -> Mapping[str, str | None] | None:
        return self.rooms.get(channel)

    async def current(self) -> None:
        self.looks += 1
        await asyncio.sleep(0)
        if self.away:
            raise UnavailableError("the database cannot be reached")
        if self.committed is not None:
            self.put(self.committed)


def allowed(source: Source, principal: Principal, action: Action, channel: str, **about: str) -> bool:
    try:
        RuleAuthorizer(source, NameRules(("chat:*",))).judge(principal, action, channel, Circumstances(**about))
    except NotAllowedError:
        return False
    return True


ROOM = "auth.uid != null && data.members.includes(auth.uid)"
RULES = {
    "private:room-*": f'{{"subscribe": "{ROOM}", "publish": "{ROOM}", "presence": true}}',
    "private:room-closed": '{"subscribe": false}',
    "public:news": "{\"publish\": \"auth.role == 'member' && auth.claims.org == 'acme'\"}",
    "public:broken": '{"subscribe": "auth.uid ="}',
    "events:*": "{\"publish\": \"request.event == 'sent' && request.ip != '10.0.0.1' && request.transport == 'sse'\"}",
    "mine:*": '{"subscribe": "channel.exists && channel.createdBy == auth.uid && channel.id == \'1\'"}',
    "guests:*": '{"subscribe": "auth.anonymous && auth.uid == null"}',
    "new:*": '{"subscribe": "request.time > timestamp(\'2020-01-01T00:00:00Z\')"}',
    "red:*": '{"subscribe": "auth.attributes.team == \'red\'"}',
}
ROOMS = {
    "private:room-1": '{"members": ["ann"]}',
    "private:room-2": '{"members": ["bob"]}',
    "mine:1": "{}",
    "mine:2": "{}",
}


@pytest.mark.parametrize(
    ("principal", "action", "channel", "expected"),
    [
        (ANN, Action.SUBSCRIBE, "private:room-1", True),
        (ANN, Action.PUBLISH, "private:room-1", True),
        (ANN, Action.PRESENCE, "private:room-1", True),
        (ANN, Action.SUBSCRIBE, "private:room-2", False),
        (ANN, Action.SUBSCRIBE, "private:room-without-row", False),
        (ANN, Action.SUBSCRIBE, "private:room-closed", False),
        (ANN, Action.PRESENCE, "private:room-closed", True),
        (ANONYMOUS, Action.SUBSCRIBE, "private:room-1", False),
        (ANONYMOUS, Action.PRESENCE, "private:room-1", True),
        (ANN, Action.SUBSCRIBE, "private:user-ann", True),
        (ANN, Action.SUBSCRIBE, "private:user-bob", False),
        (NAMED, Action.SUBSCRIBE, "private:user-anon-1", False),
        (ANN, Action.SUBSCRIBE, "private:other", False),
        (ANN, Action.PUBLISH, "public:news", True),
        (ANONYMOUS, Action.PUBLISH, "public:news", False),
        (ANONYMOUS, Action.SUBSCRIBE, "public:news", True),
        (ANN, Action.SUBSCRIBE, "public:broken", False),
        (ANN, Action.SUBSCRIBE, "chat:1", True),
        (ANN, Action.SUBSCRIBE, "talk:1", False),
        (ANN, Action.SUBSCRIBE, "mine:1", True),
        (ANN, Action.SUBSCRIBE, "mine:2", False),
        (ANN, Action.SUBSCRIBE, "mine:3", False),
        (NAMED, Action.SUBSCRIBE, "guests:1", True),
        (ANN, Action.SUBSCRIBE, "guests:1", False),
        (ANONYMOUS, Action.SUBSCRIBE, "new:1", True),
        (ANN, Action.SUBSCRIBE, "red:1", True),
        (ANONYMOUS, Action.SUBSCRIBE, "red:1", False),
    ],
)
def test_rules_decide_and_what_they_leave_open_the_kind_does(
    principal: Principal, action: Action, channel: str, expected: bool
) -> None:
    assert allowed(Source(RULES, ROOMS), principal, action, channel) is expected


def test_a_condition_reads_the_request() -> None:
    source = Source(RULES)
    assert allowed(source, ANN, Action.PUBLISH, "events:1", event="sent", ip="10.0.0.2", transport="sse")
    assert not allowed(source, ANN, Action.PUBLISH, "events:1", event="left", ip="10.0.0.2", transport="sse")
    assert not allowed(source, ANN, Action.PUBLISH, "events:1", event="sent", ip="10.0.0.1", transport="sse")


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("auth.claims.org == 'acme'", True),
        ("auth.claims['org'] == 'acme'", True),
        ("has(auth.claims.org) && !has(auth.claims.plan)", True),
        ("auth.claims.exists(name, name == 'sub')", True),
        ("auth.claims.exists (name, name == 'sub')", True),
        ("auth.claims.org == 'acme' && size(auth.claims) == 2", True),
        ("auth.claims.all(name, name == 'org') && auth.claims.org == 'acme'", False),
        ("auth.exists(field, field == 'role')", True),
        ("auth.claims.plan == 'free'", False),
    ],
)
def test_a_condition_gets_the_claims_that_it_reads(condition: str, expected: bool) -> None:
    ann = Principal("ann", claims={"org": "acme", "sub": "ann"}, authenticated=True)
    source = Source({"public:x": json.dumps({"subscribe": condition})})
    assert allowed(source, ann, Action.SUBSCRIBE, "public:x") is expected


def test_metadata_that_cannot_be_read_denies_only_where_it_is_read() -> None:
    rules = {"read:*": '{"subscribe": "data.open || true"}', "other:*": '{"subscribe": "auth.uid == \'ann\'"}'}
    source = Source(rules, {"read:1": "1", "other:1": "1"})
    assert not allowed(source, ANN, Action.SUBSCRIBE, "read:1")
    assert allowed(source, ANN, Action.SUBSCRIBE, "other:1")


def test_a_decision_rests_on_the_rule_the_room_and_the_principal() -> None:
    source = Source(RULES, ROOMS)
    authorizer = RuleAuthorizer(source, NameRules())
    ann = replace(ANN)

    def basis() -> Basis:
        return authorizer.basis(ann, Action.SUBSCRIBE, "private:room-1")

    first = basis()
    assert first == basis()
    assert first != authorizer.basis(ann, Action.PUBLISH, "private:room-1")
    ann.claims = dict(ann.claims)
    assert first != (renewed := basis())
    source.rooms["private:room-1"] = dict(source.rooms["private:room-1"])
    assert renewed != (room_changed := basis())
    source.put(RULES)
    assert room_changed != basis()


def test_decisions_about_one_channel_do_not_mix_users_nor_former_metadata() -> None:
    source = Source(RULES, ROOMS)
    authorizer = RuleAuthorizer(source, NameRules())
    bob = Principal("bob", authenticated=True)
    authorizer.judge(ANN, Action.SUBSCRIBE, "private:room-1")
    with pytest.raises(NotAllowedError):
        authorizer.judge(bob, Action.SUBSCRIBE, "private:room-1")
    source.rooms["private:room-1"] = {"name": "private:room-1", "metadata": '{"members": ["bob"]}', "created_by": None}
    authorizer.judge(bob, Action.SUBSCRIBE, "private:room-1")
    with pytest.raises(NotAllowedError, match="the rule of 'private:room-\\*' does not allow it"):
        authorizer.judge(ANN, Action.SUBSCRIBE, "private:room-1")


def test_an_error_in_a_condition_is_logged_once_and_not_sent() -> None:
    authorizer = RuleAuthorizer(Source({"public:x": '{"subscribe": "auth.claims.team == 1"}'}), NameRules())
    with capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(NotAllowedError) as refused:
                authorizer.judge(ANN, Action.SUBSCRIBE, "public:x")
    assert "team" not in str(refused.value)
    assert [(entry["event"], entry["rule"], entry["error"]) for entry in logs] == [
        ("rule_failed", "public:x", "there is no field 'team'")
    ]


def test_what_fails_is_noted_once_for_each_reason_until_the_rule_is_changed() -> None:
    rule = {"public:*": '{"publish": "auth.claims[request.event] == 1"}'}
    source, noted = Source(rule), list[tuple[str, str, str, str]]()
    authorizer = RuleAuthorizer(
        source,
        NameRules(),
        lambda rule, problem, channel: noted.append((rule.pattern, rule.action, problem, channel)),
    )

    def publish(*events: str) -> None:
        for event in events:
            with pytest.raises(NotAllowedError):
                authorizer.judge(ANN, Action.PUBLISH, "public:x", Circumstances(event=event))

    publish("a", "b", "a")
    assert noted == [("public:*", "publish", f"there is no field {name!r}", "public:x") for name in ("a", "b")]
    with capture_logs() as logs:
        publish(*map(str, range(100)))
    assert len(noted) == len(logs) + 2 == 20, "a client makes up names"
    source.put({"public:*": '{"publish": false}'})
    source.put(rule)
    publish("a")
    assert noted[20:] == [("public:*", "publish", "there is no field 'a'", "public:x")]


def test_a_rule_that_does_not_compile_is_not_noted_as_one_that_failed() -> None:
    noted = list[str]()
    authorizer = RuleAuthorizer(Source(RULES), NameRules(), lambda rule, problem, channel: noted.append(problem))
    with pytest.raises(NotAllowedError):
        authorizer.judge(ANN, Action.SUBSCRIBE, "public:broken")
    assert noted == []


async def test_a_rule_that_is_committed_counts_before_a_refusal_is_sent() -> None:
    source = Source({})
    source.committed = {"private:x": '{"subscribe": true}'}
    authorizer = RuleAuthorizer(source, NameRules())
    await authorizer.authorize(ANN, Action.SUBSCRIBE, "private:x")
    assert source.looks == 1


async def test_refusals_at_once_share_a_look_at_the_database() -> None:
    source = Source({})
    authorizer = RuleAuthorizer(source, NameRules())
    asked = (authorizer.authorize(ANN, Action.SUBSCRIBE, "private:x") for _ in range(50))
    refused = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(each, NotAllowedError) for each in refused)
    assert source.looks == 1


async def test_a_refusal_that_cannot_be_confirmed_reports_it() -> None:
    source = Source({})
    source.away = True
    with pytest.raises(UnavailableError):
        await RuleAuthorizer(source, NameRules()).authorize(ANN, Action.SUBSCRIBE, "private:x")


async def test_rules_that_do_not_compile_are_found_as_they_arrive() -> None:
    source, noted = Source(RULES), list[tuple[str, str]]()
    problems = RuleProblems(source.rules, lambda rule, problem: noted.append((rule.pattern, rule.action)))
    await problems.compiled()
    assert len(problems) == 1
    assert noted == [("public:broken", "subscribe")]
    assert problems.shown[0].startswith("rule of 'public:broken', subscribe: ")
    source.put({"public:fine": '{"subscribe": "true", "publish": "auth.uid"}', "public:other": '{"publish": "x"}'})
    await problems.compiled()
    assert problems.shown == ["rule of 'public:other', publish: there is no variable 'x': auth, channel, data, request"]
    await problems.close()


@pytest.mark.parametrize(
    ("channel", "allowed"), [("public:x", True), ("chat:1", True), ("presence:1", False), ("orders:1", False)]
)
def test_a_client_without_a_token_may_use_the_channels_for_anonymous_clients(channel: str, allowed: bool) -> None:
    authorizer = RuleAuthorizer(Source({"orders:2": '{"subscribe": true}'}), NameRules(("*",), ("chat:*",)))
    authorizer.judge(ANN, Action.SUBSCRIBE, channel)
    for anonymous in (Principal(), Principal(user_id="named, without a proof")):
        if allowed:
            authorizer.judge(anonymous, Action.SUBSCRIBE, channel)
        else:
            with pytest.raises(NotAllowedError, match=r"anonymous clients may not .*: connect with a token"):
                authorizer.judge(anonymous, Action.SUBSCRIBE, channel)
        authorizer.judge(anonymous, Action.SUBSCRIBE, "orders:2")  # a rule decides before the kind


OPEN = '{"subscribe": true, "publish": "true", "presence": true}'


@pytest.mark.parametrize("principal", [ANN, NAMED, ANONYMOUS], ids=["authenticated", "named", "anonymous"])
@pytest.mark.parametrize("pattern", ["*", "admin:*", "admin:a*", "*alerts", "admin:alerts*", "admin:alerts"])
def test_no_rule_lets_a_client_publish_alerts_and_only_that_of_the_name_lets_it_subscribe(
    pattern: str, principal: Principal
) -> None:
    source = Source({pattern: OPEN})
    for transport in ("websocket", "sse", "poll", "rest"):
        for action in (Action.PUBLISH, Action.PRESENCE):
            assert not allowed(source, principal, action, "admin:alerts", event="alert.raised", transport=transport)
        subscribes = allowed(source, principal, Action.SUBSCRIBE, "admin:alerts", transport=transport)
        assert subscribes is (pattern == "admin:alerts")


def test_the_refusal_of_the_alerts_names_what_opens_them() -> None:
    authorizer = RuleAuthorizer(Source({"*": OPEN}), NameRules())
    for action in (Action.SUBSCRIBE, Action.PUBLISH, Action.PRESENCE):
        with pytest.raises(NotAllowedError, match="a rule of exactly this name can let clients subscribe"):
            authorizer.judge(ANN, action, "admin:alerts")
    authorizer.judge(ANN, Action.PUBLISH, "admin:other")  # a rule of all channels opens the others
