"""What a message of a client has to pass, whatever the way on which it comes."""

from __future__ import annotations

import pytest
from msgspec import UNSET

from engine.channels.core.messages.model import ChannelOptions
from engine.identity.principal import Principal
from server.auth.authorizer import UNKNOWN, Action, Circumstances, NameRules, NotAllowedError
from server.client.judgement import SubscriptionRights, judge_message
from server.client.shared import SharedServices
from server.content.hook import ContentHook
from server.ports.channels import Member
from server.protocol.client_messages import Publish
from server.session.subscriptions import ChannelRequest
from tests.support.fakes.channels import FakeChannels
from tests.support.fakes.server import FakeLiveQueries


class Rules(NameRules):
    """Allows everything until ``lost``."""

    lost = False
    judged = 0

    def judge(self, principal: Principal, action: Action, resource: str, about: Circumstances = UNKNOWN) -> None:
        self.judged += 1
        if self.lost:
            raise NotAllowedError("no more")
        super().judge(principal, action, resource, about)


async def test_a_right_that_is_lost_while_the_content_hook_thinks_is_lost() -> None:
    rules = Rules()

    class Slow(ContentHook):
        async def check(self, member: Member, channel: str, event: str, data: bytes) -> None:
            rules.lost = True

    hook = Slow("tests.support.programs.content_hook:yes", 1.0)
    services = SharedServices(FakeLiveQueries(), FakeChannels(), rules, content_hook=hook)
    with pytest.raises(NotAllowedError, match="no more"):
        await judge_message(services, Principal("ada"), Member("c", "ada"), Publish("chat:1", "e"))


async def test_a_subscription_is_judged_again_when_it_is_open_only_if_what_decides_has_changed() -> None:
    rules, ada = Rules(), Principal("ada", authenticated=True)
    rights = SubscriptionRights(rules, ada, Member("c", "ada"))
    request = ChannelRequest("chat:1", UNSET, ChannelOptions(presence={}))
    basis = await rights.authorize(request)
    assert rights.lost(request, basis) is None
    assert rules.judged == 2, "to subscribe, and to be present"
    rules.lost = True
    ada.claims = {"org": "acme"}  # a new token
    assert isinstance(rights.lost(request, basis), NotAllowedError)
    ada.claims = {}
    assert isinstance(rights.lost(request), NotAllowedError), "an open one is judged whenever that is asked for"
