"""Twilio's requests to us: their signature, the keys that are pressed, receipts.

Sources: https://www.twilio.com/docs/usage/security#validating-requests, /docs/voice/twiml/gather,
/docs/voice/api/call-resource#statuscallback, /docs/voice/answering-machine-detection (AnsweredBy),
/docs/messaging/guides/track-outbound-message-status.
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


def who_answered(request: HttpRequest) -> str:
    """Who took a call, where Twilio's detection of answering machines says so: “voicemail”, “a fax machine” or “somebody”; else empty."""
    told = request.POST.get("AnsweredBy", "")
    machine = "voicemail" if told.startswith("machine_") else ""
    return machine or {"fax": "a fax machine", "human": "somebody"}.get(told, "")


def read_status(request: HttpRequest) -> tuple[str, str, str] | None:
    """The provider's number, “delivered”, “answered” or “failed”, and why; None where it is not the end yet.

    A call that was answered may have been answered by voicemail, so it is no receipt: only a pressed key is (`intake/replies.py`).
    """
    post, who = request.POST, who_answered(request)
    call, message = post.get("CallStatus", ""), post.get("MessageStatus", "")
    sid = post.get("CallSid") or post.get("MessageSid") or ""
    if call in _FAILED or message in _FAILED:
        code = post.get("ErrorCode", "")
        return sid, "failed", f"{_FAILED[call or message]}{f' ({code})' if code else ''}"[:200]
    # A machine needs no waiting for the end of the call.
    if call == "completed" or (post.get("CallSid") and who and who != "somebody"):
        words = f"answered by {who}, no key pressed" if who else "answered, no key pressed (perhaps voicemail)"
        return sid, "answered", words
    return (sid, "delivered", "") if message == "delivered" else None
