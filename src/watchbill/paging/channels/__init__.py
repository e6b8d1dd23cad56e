"""All channels: a folder each. Adding one: its folder, one line here, its tests with a local peer, a section in docs/paging.md."""

from watchbill.paging.channels.apprise.channel import APPRISE
from watchbill.paging.channels.base import Kind
from watchbill.paging.channels.email.channel import EMAIL
from watchbill.paging.channels.push.channel import PUSH
from watchbill.paging.channels.selftest.channel import SELFTEST
from watchbill.paging.channels.slack.channel import SLACK
from watchbill.paging.channels.twilio.channel import TWILIO
from watchbill.paging.channels.webhook.channel import WEBHOOK

KINDS: dict[str, Kind] = {kind.name: kind for kind in (EMAIL, TWILIO, PUSH, SLACK, WEBHOOK, APPRISE, SELFTEST)}
#: method → the kind of channel that carries it.
CARRIERS = {method: kind.name for kind in KINDS.values() for method in kind.methods}
