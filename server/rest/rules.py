"""The endpoint that shows what the rules of channels decide, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from engine.channels.core.messages.model import UnavailableError
from server.auth.authorizer import Action, Circumstances
from server.rest.description.endpoint import Call, Endpoint
from server.rest.description.models import RuleDecision, RuleTest
from server.rules.explain import imagined

__all__ = ["ENDPOINTS"]


async def _test(call: Call) -> RuleDecision:
    body = call.body_as(RuleTest)
    if call.node is None:
        raise UnavailableError("the server is starting or stopping; try again")
    principal = imagined(body.user_id, body.role, body.claims, body.attributes)
    about = Circumstances(body.ip, body.transport, body.event)
    found = await call.node.explain(principal, Action[body.action.upper()], body.channel, about)
    return RuleDecision.model_validate(asdict(found))


ENDPOINTS: Sequence[Endpoint] = (
    Endpoint(
        "POST",
        "/rules/test",
        "testRules",
        "See what the rules decide, and why",
        _test,
        "For a client as it is described, as of what is committed now. Nothing is done. `realtime rules test` is the same.",
        body=RuleTest,
        answer=RuleDecision,
        scope="channels",
    ),
)
