"""Answers to a message from the message itself: the key in its address says whose it is, and which page it is about.

The middleware has found the key (`signin/middleware.py`): `request.reply` and the person, limited to answering.
"""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST

from watchbill.base.actor import Actor
from watchbill.base.errors import Conflict, Denied, NotFound, WatchbillError
from watchbill.intake.twilio import reply as twilio
from watchbill.paging import commands
from watchbill.paging.models import Delivery, Page, Reply
from watchbill.paging.outcomes import receipt
from watchbill.people.models import Person, Workspace
from watchbill.people.queries import Reader
from watchbill.secrets.commands import open_secret


def _who(request: HttpRequest) -> tuple[Reply, Actor]:
    reply, reader = getattr(request, "reply", None), getattr(request, "reader", None)
    if not isinstance(reply, Reply) or not isinstance(reader, Reader):
        raise NotFound("This link is unknown, or serves no more.", hint="Sign in to the hub to acknowledge.")
    return reply, reader.actor


def _page_of(reply: Reply) -> tuple[Delivery, Page]:
    delivery = (
        Delivery.objects.select_related("page", "channel")
        .filter(id=reply.delivery_id, workspace_id=reply.workspace_id)
        .first()
    )
    if delivery is None:
        raise NotFound("This link is unknown, or serves no more.")
    return delivery, delivery.page


@require_http_methods(["GET", "POST"])
def link(request: HttpRequest, key: str) -> HttpResponse:
    """The page behind a link in a message: what it is, why you, and a button. Looking at it changes nothing: mail scanners look, too."""
    reply, actor = _who(request)
    delivery, page = _page_of(reply)
    error: WatchbillError | None = None
    first = False
    if request.method == "POST":
        try:
            if request.POST.get("do") == "escalate":
                page = commands.escalate(
                    by=actor, workspace_id=reply.workspace_id, page_id=page.id, reason="from the message"
                )
            else:
                page, first = commands.acknowledge(
                    by=actor, workspace_id=reply.workspace_id, page_id=page.id, via="link"
                )
        except (Conflict, Denied) as problem:
            error = problem
    slug = Workspace.objects.filter(id=reply.workspace_id).values_list("slug", flat=True).first()
    name = (
        Person.objects.filter(id=page.acknowledged_by).values_list("name", flat=True).first()
        if page.acknowledged_by
        else ""
    )
    context = {
        "paged": page, "delivery": delivery, "error": error, "first": first, "who": "you" if page.acknowledged_by == actor.id else name or "somebody",
        "page_url": page.url or reverse("page", args=[slug, page.id]),
    }  # fmt: skip
    return render(request, "intake/reply.html", context, status=error.status if error else 200)


@csrf_exempt
@require_POST
def acknowledge(request: HttpRequest, key: str) -> HttpResponse:
    """The button of a browser's notification. The key in the address is what it may do it by: no cookie counts here."""
    reply, actor = _who(request)
    _, page = _page_of(reply)
    page, first = commands.acknowledge(by=actor, workspace_id=reply.workspace_id, page_id=page.id, via="push")
    words = {"ended": "It is over already"}.get(
        page.state, "Acknowledged: it is yours" if first else "It was acknowledged already"
    )
    return JsonResponse({"state": page.state, "first": first, "said": words})


def _signed(request: HttpRequest) -> tuple[Reply, Actor, Delivery, Page]:
    """A request that Twilio itself sent, about one of our calls. Raises Denied."""
    reply, actor = _who(request)
    delivery, page = _page_of(reply)
    channel = delivery.channel
    if channel is None or channel.kind != "twilio" or not channel.secret:
        raise NotFound("This link is unknown, or serves no more.")
    token = open_secret(
        by=actor, workspace_id=reply.workspace_id, name=channel.secret, purpose="checking Twilio's signature"
    )
    twilio.check(request, token, f"{settings.PUBLIC_URL}{request.get_full_path()}")
    return reply, actor, delivery, page


@csrf_exempt
@require_POST
def voice(request: HttpRequest, key: str) -> HttpResponse:
    """What a call says: what is wrong, and which keys there are. Where Twilio says that a machine took it, nobody waits for its end."""
    reply, _, delivery, page = _signed(request)
    _note(request, reply)
    return twilio.answer(twilio.ask(page.title, delivery.why, _action(key)))


def _action(key: str) -> str:
    return f"{settings.PUBLIC_URL}{reverse('reply_key', args=[key])}"


@csrf_exempt
@require_POST
def pressed(request: HttpRequest, key: str) -> HttpResponse:
    """A key was pressed, so somebody heard it: 1 acknowledges, 2 escalates, anything else asks again."""
    reply, actor, delivery, page = _signed(request)
    digit = request.POST.get("Digits", "")
    if digit:
        sid = request.POST.get("CallSid", "")
        receipt(workspace_id=reply.workspace_id, delivery_id=delivery.id, provider_id=sid, state="delivered")
    if digit == "1":
        page, first = commands.acknowledge(by=actor, workspace_id=reply.workspace_id, page_id=page.id, via="voice")
        return twilio.answer(
            twilio.bye(
                "Acknowledged. It is yours." if first else "It was acknowledged already. Nothing else is needed."
            )
        )
    if digit == "2":
        try:
            commands.escalate(
                by=actor, workspace_id=reply.workspace_id, page_id=page.id, reason="by key press on the phone"
            )
        except Conflict:
            return twilio.answer(twilio.bye("There is nobody else to escalate to."))
        return twilio.answer(twilio.bye("Escalated. The next step is paged now."))
    return twilio.answer(twilio.ask(page.title, delivery.why, _action(key)))


@csrf_exempt
@require_POST
def status(request: HttpRequest, key: str) -> HttpResponse:
    """What became of a call or a text message."""
    reply, *_ = _signed(request)
    _note(request, reply)
    return HttpResponse(status=204)


def _note(request: HttpRequest, reply: Reply) -> None:
    told = twilio.read_status(request)
    if told is not None:
        # Each attempt has a key of its own: the newest is that of the last attempt.
        current = not Reply.objects.using("signin").filter(delivery_id=reply.delivery_id, id__gt=reply.id).exists()
        receipt(
            workspace_id=reply.workspace_id, delivery_id=reply.delivery_id, provider_id=told[0], state=told[1], reason=told[2],
            current=current,
        )  # fmt: skip
