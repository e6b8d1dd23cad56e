"""Twilio's requests to us: their signature, the keys that are pressed, receipts.

Sources: https://www.twilio.com/docs/usage/security#validating-requests, /docs/voice/twiml/gather,
/docs/voice/api/call-resource#statuscallback, /docs/messaging/guides/track-outbound-message-status.
"""

import hmac

from django.http import HttpRequest, HttpResponse

from watchbill.base.errors import Denied
from watchbill.paging.channels.twilio.channel import SPOKEN, gather, hangup, say, signature, twiml
from watchbill.paging.shorten import shorten

_FAILED = {
    "busy": "the line was busy", "no-answer": "nobody picked up", "failed": "the call did not go through", "canceled": "the call was cancelled",
    "undelivered": "the message was not delivered",
}  # fmt: skip


def check(request: HttpRequest, token: str, url: str) -> None:
    """Raises Denied unless the request carries Twilio's signature over this address and form."""
    params = [(name, value) for name, values in request.POST.lists() for value in values]
    given = request.headers.get("X-Twilio-Signature", "")
    if not hmac.compare_digest(signature(token, url, params).encode(), given.encode("utf-8", "replace")):
        raise Denied(
            "This request does not carry Twilio's signature.",
            hint="WATCHBILL_URL must be the address that Twilio calls.",
        )


def ask(title: str, why: str, action: str) -> str:
    """What a call says: twice, then it hangs up."""
    words = [
        f"Watchbill. {shorten(title, SPOKEN)}.",
        f"You are called because of: {why}." if why else "",
        "Press 1 to acknowledge. Press 2 to escalate.",
    ]
    return twiml(gather(action, *(one for one in words if one)), say("No key was pressed. Goodbye."), hangup())


def bye(words: str) -> str:
    """A last sentence."""
    return twiml(say(words), hangup())


def answer(text: str) -> HttpResponse:
    """TwiML as an answer."""
    return HttpResponse(text, content_type="application/xml; charset=utf-8")


def read_status(request: HttpRequest) -> tuple[str, str, str] | None:
    """The provider's number, “delivered” or “failed”, and why; None where it is not the end yet."""
    post = request.POST
    sid, state = (
        post.get("CallSid") or post.get("MessageSid") or "",
        post.get("CallStatus") or post.get("MessageStatus") or "",
    )
    if state in _FAILED:
        code = post.get("ErrorCode", "")
        return sid, "failed", f"{_FAILED[state]}{f' ({code})' if code else ''}"[:200]
    return (sid, "delivered", "") if state in ("completed", "delivered") else None
