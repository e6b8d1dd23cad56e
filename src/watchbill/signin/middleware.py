"""The door: who is this request, and the one transaction in which it runs as that person."""

import hmac
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import structlog
from django.db import Error as DatabaseError
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse

from watchbill.base.errors import SignInNeeded, WatchbillError
from watchbill.oncall.models import Feed
from watchbill.paging.models import Reply
from watchbill.people import tokens
from watchbill.people.models import ApiToken
from watchbill.people.queries import Reader, load_reader
from watchbill.runtime.http import as_watchbill_error, client_address, error_response
from watchbill.runtime.now import now
from watchbill.signin.sessions import PERSON, SessionStore

log = structlog.get_logger("watchbill.signin")
GetResponse = Callable[[HttpRequest], HttpResponse]
_SET = "SELECT set_config('watchbill.person', %s, true), set_config('watchbill.only', %s, true)"


class PersonMiddleware:
    """Opens the transaction, sets the person for row-level security, and rolls back on an answer of 500 or more.

    The answer leaves only after the commit. Streaming bodies run outside of the transaction.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answers the request inside its transaction."""
        request.reader = None  # type: ignore[attr-defined]
        try:
            return self._answer(request)
        except (WatchbillError, DatabaseError, psycopg.Error) as error:
            known = as_watchbill_error(error)
            if known.status >= 500:
                log.error("request.failed", exc_info=error)
            return error_response(request, known)

    def _answer(self, request: HttpRequest) -> HttpResponse:
        keyed = find_key(request.path)
        person_id, limits = (keyed.person_id, None) if keyed else self._who(request)
        with transaction.atomic():
            if keyed is not None and person_id is not None:
                self._enter_keyed(request, keyed, person_id)
            elif person_id is not None:
                self._enter(request, person_id, limits)
            response = self.get_response(request)
            if response.status_code >= 500:
                transaction.set_rollback(True)
        return response

    def _who(self, request: HttpRequest) -> tuple[UUID | None, ApiToken | None]:
        header = request.headers.get("Authorization", "")
        if header:
            scheme, _, text = header.partition(" ")
            if scheme.lower() != "bearer" or not text.startswith("wbt_"):
                raise SignInNeeded(
                    "The Authorization header holds no Watchbill token.", hint="Send: Authorization: Bearer wbt_…"
                )
            token = find_token(text.strip())
            return token.person_id, token
        self._note_browser(request)
        signed_in = bool(request.COOKIES.get("watchbill_session")) and request.user.is_authenticated
        if signed_in and (person := request.session.get(PERSON)):
            self._seen(request)
            return UUID(person), None
        return None, None

    def _enter_keyed(self, request: HttpRequest, keyed: Reply | Feed, person_id: UUID) -> None:
        """The person whose key stands in the address, for nothing but what that key is for."""
        with connections["default"].cursor() as cursor:
            cursor.execute(_SET, [str(person_id), str(keyed.workspace_id)])
        name = "reply" if isinstance(keyed, Reply) else "feed"
        setattr(request, name, keyed)
        request.reader = load_reader(  # type: ignore[attr-defined]
            person_id=person_id, via=name, request_id=request.request_id, mfa=False, only=keyed.workspace_id, scopes=KEYED[name],  # type: ignore[attr-defined]
        )  # fmt: skip

    def _note_browser(self, request: HttpRequest) -> None:
        session: Any = request.session
        if isinstance(session, SessionStore):
            session.address, session.agent = client_address(request), request.headers.get("User-Agent", "")

    def _seen(self, request: HttpRequest) -> None:
        session: Any = request.session
        if now("signin") - session.seen_at > timedelta(minutes=2):
            session.modified = True

    def _enter(self, request: HttpRequest, person_id: UUID, token: ApiToken | None) -> None:
        with connections["default"].cursor() as cursor:
            cursor.execute(_SET, [str(person_id), str(token.workspace_id) if token else ""])
        reader = load_reader(
            person_id=person_id,
            via=f"token:{token.prefix}" if token else "web",
            request_id=request.request_id,  # type: ignore[attr-defined]
            mfa=token is not None or has_second_factor(request),
            only=token.workspace_id if token else None,
            scopes=token.scopes if token else None,
        )
        request.reader = reader  # type: ignore[attr-defined]
        if reader:
            structlog.contextvars.bind_contextvars(actor=str(person_id), via=reader.actor.via)


#: What the key in an address opens beside its own page.
KEYED = {"reply": ("incident.respond",), "feed": ("oncall.read",)}


def find_key(path: str) -> Reply | Feed | None:
    """The key in an address: /reply/KEY… of a message, /feed/KEY.ics of a calendar; None for every other address, and where it
    is unknown or serves no more."""
    parts = path.split("/")
    if len(parts) < 3 or parts[1] not in KEYED or not 20 < len(parts[2]) < 200:
        return None
    if parts[1] == "feed":
        return (
            Feed.objects.using("signin")
            .filter(digest=tokens.digest(parts[2].removesuffix(".ics")), revoked_at=None)
            .first()
        )
    reply = Reply.objects.using("signin").filter(digest=tokens.digest(parts[2])).first()
    return reply if reply is not None and reply.person_id is not None and reply.expires_at > now("signin") else None


def find_token(text: str) -> ApiToken:
    """The live token of that text. Raises SignInNeeded, the same for unknown, expired and revoked."""
    at = now("signin")
    wanted = tokens.digest(text)
    token = ApiToken.objects.using("signin").filter(digest=wanted).first()
    if (
        token is None
        or not hmac.compare_digest(bytes(token.digest), wanted)
        or token.revoked_at is not None
        or token.expires_at <= at
    ):
        raise SignInNeeded(
            "That token is unknown, expired or revoked.", hint="Make a new one under Account → API tokens."
        )
    if token.last_used_at is None or at - token.last_used_at > timedelta(minutes=1):
        ApiToken.objects.using("signin").filter(id=token.id).update(last_used_at=at)
    return token


def has_second_factor(request: HttpRequest) -> bool:
    """Whether this session was opened, or confirmed, with a second factor (or the identity provider vouches for one)."""
    methods = request.session.get("account_authentication_methods", [])
    return any(method.get("method") == "mfa" or method.get("mfa") or method.get("break_glass") for method in methods)


def reader_of(request: HttpRequest) -> Reader | None:
    """The reader that the middleware found."""
    return getattr(request, "reader", None)
