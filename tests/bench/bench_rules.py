"""Decisions of rules a second on one core, and the ratio to the bare CEL library.

*judge*: from the principal and the channel to the decision, as for every request of a client: the rule is found among 1,000
rows, the user's values are converted, the condition is evaluated. *library*: the compiled program with the same values,
converted for each call. *members*: how many entries the list has that the condition reads. *compile*: a new rule.
Run with ``python -m tests.bench.bench_rules``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import cel

from engine.channels.core.access_rules import AccessRules
from engine.identity.principal import Principal
from engine.identity.visibility import Visibility
from server.auth.authorizer import Action, NameRules
from server.rules.authorizer import RuleAuthorizer
from tests.bench.bench_tokens import rate
from tests.bench.parts.report import report

CONDITIONS = {
    "in": "auth.uid != null && auth.uid in data.members",
    "includes": "auth.uid != null && data.members.includes(auth.uid)",
    "claim": "auth.claims.org == channel.id",
}
CHANNEL = "private:acme"
CLAIMS = {"sub": "user-0", "org": "acme", "iat": 1, "exp": 2, "email": "ada@example.com", "teams": ["red", "blue"]}


class Saved:
    """A thousand rows, of which one is for the channel, and its room."""

    def __init__(self, condition: str, members: list[str]) -> None:
        self.rules = AccessRules()
        rows = [{"channel": f"private:{number}-*", "rules": '{"subscribe": false}'} for number in range(999)]
        rows.append({"channel": CHANNEL, "rules": json.dumps({"subscribe": condition})})
        self.rules.load(rows)
        self._row = {"name": CHANNEL, "metadata": json.dumps({"members": members})}

    def room(self, channel: str) -> Mapping[str, str | None] | None:
        """The room."""
        return self._row

    async def current(self) -> None:
        """Nothing else is committed."""


def measured(name: str, condition: str, members: int) -> dict[str, object]:
    """A row of the report."""
    users = [f"user-{number}" for number in range(members)][::-1]
    authorizer = RuleAuthorizer(Saved(condition, users), NameRules())
    principal = Principal("user-0", {}, Visibility("member"), claims=CLAIMS, authenticated=True)
    program = cel.compile(condition)
    values = {"auth": {"uid": "user-0", "claims": CLAIMS}, "data": {"members": users}, "channel": {"id": "acme"}}
    functions = {"includes": lambda items, item: item in items}
    judge = rate(lambda: authorizer.judge(principal, Action.SUBSCRIBE, CHANNEL))
    library = rate(lambda: program.execute(cel.Context(values, functions)))
    compiled = rate(lambda: cel.compile(condition))
    return {
        "condition": name,
        "members": members,
        "judge/s": judge,
        "library/s": library,
        "ratio": judge / library,
        "compile/s": compiled,
    }


def main() -> None:
    """Measure and report."""
    rows = [measured(name, text, members) for name, text in CONDITIONS.items() for members in (10, 1_000)]
    report("rules", rows)


if __name__ == "__main__":
    main()
