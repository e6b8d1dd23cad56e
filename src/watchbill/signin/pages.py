"""Pages of signing in."""

from datetime import timedelta
from uuid import UUID

from allauth.account.internal.flows.login import record_authentication
from allauth.account.utils import perform_login
from django import forms
from django.conf import settings
from django.contrib.auth import authenticate, password_validation
from django.contrib.auth.signals import user_logged_in
from django.core.exceptions import ValidationError
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from watchbill.base.errors import NotFound, SignInNeeded
from watchbill.people.edge import place_of
from watchbill.people.edge import reader_of as people_reader
from watchbill.people.models import Person
from watchbill.people.pages import as_uuid
from watchbill.people.queries import access_person
from watchbill.runtime.http import client_address, request_id_of
from watchbill.runtime.ratelimit import Buckets
from watchbill.signin.commands import (
    ensure_login,
    find_link,
    make_link,
    note_failure,
    note_sign_in,
    revoke_session,
    set_password,
    use_link,
)
from watchbill.signin.middleware import reader_of
from watchbill.signin.models import Login, Session
from watchbill.signin.queries import access_sessions
from watchbill.signin.sessions import PERSON, digest

_ATTEMPTS = Buckets(rate=10, burst=10)


class SignInForm(forms.Form):
    """E-mail address and password."""

    email = forms.CharField(
        label="E-mail address",
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True}),
    )
    password = forms.CharField(
        max_length=200, strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )


class PasswordForm(forms.Form):
    """A new password, once: the browser shows or keeps it."""

    password = forms.CharField(
        label="New password",
        max_length=200,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def clean_password(self) -> str:
        """Long enough, and not among the common ones."""
        value: str = self.cleaned_data["password"]
        password_validation.validate_password(value)
        return value


def _next(request: HttpRequest) -> str:
    target = request.POST.get("next") or request.GET.get("next") or "/"
    return target if url_has_allowed_host_and_scheme(target, allowed_hosts=None) and target.startswith("/") else "/"


@never_cache
@require_http_methods(["GET", "POST"])
def sign_in(request: HttpRequest) -> HttpResponse:
    """The sign-in page."""
    if reader_of(request):
        return redirect(_next(request))
    form = SignInForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        address = client_address(request)
        _ATTEMPTS.take(f"{address}")
        _ATTEMPTS.take(form.cleaned_data["email"].lower())
        user = authenticate(request, email=form.cleaned_data["email"], password=form.cleaned_data["password"])
        if isinstance(user, Login):
            return _enter(request, user, method="password")
        note_failure(
            method="password", reason="wrong address or password", request_id=request_id_of(request), address=address
        )
        form.add_error(None, "Address and password do not fit together.")
    context = {"form": form, "next": _next(request), "oidc": settings.OIDC}
    return render(request, "console/signin.html", context, status=200 if request.method == "GET" else 422)


def _enter(request: HttpRequest, login: Login, *, method: str, break_glass: bool = False) -> HttpResponse:
    record_authentication(request, login, method=method, **({"break_glass": True} if break_glass else {}))
    if break_glass:
        from django.contrib.auth import login as enter

        enter(request, login, backend=settings.AUTHENTICATION_BACKENDS[0])
        return redirect("/")
    response: HttpResponse = perform_login(request, login, email_verification="none", redirect_url=_next(request))
    return response


@receiver(user_logged_in)
def _entered(sender: object, request: HttpRequest, user: Login, **kwargs: object) -> None:
    """However somebody came in: the session knows the person, and the hub's log knows of it."""
    request.session[PERSON] = str(user.person_id)
    methods = request.session.get("account_authentication_methods", [])
    if getattr(request, "oidc_mfa", False) and methods:
        methods[-1]["mfa"] = True
        request.session.modified = True
    names = "+".join(str(method.get("method")) for method in methods) or "unknown"
    note_sign_in(
        user.person_id, method=names, request_id=request_id_of(request), address=client_address(request),
        break_glass=any(method.get("break_glass") for method in methods),
    )  # fmt: skip


@never_cache
@require_http_methods(["GET", "POST"])
def one_time_link(request: HttpRequest, text: str) -> HttpResponse:
    """A one-time link: opening it asks, so that programs which look at links do not use it up; the button signs in."""
    _ATTEMPTS.take(f"{client_address(request)}", 0.2)
    if request.method == "GET":
        link = find_link(text)
        if link is None:
            raise NotFound(
                "This sign-in link was used, has expired, or never was.", hint="Make a new one: watchbill link"
            )
        person = Person.objects.using("signin").only("id", "name", "active").get(id=link.person_id)
        return render(
            request,
            "console/signin_link.html",
            {"name": person.name, "reader_name": getattr(reader_of(request), "name", "")},
        )
    link = use_link(text)
    if link is None or not Person.objects.using("signin").only("id").filter(id=link.person_id, active=True).exists():
        note_failure(
            method="link",
            reason="used, expired or unknown",
            request_id=request_id_of(request),
            address=client_address(request),
        )
        raise NotFound("This sign-in link was used, has expired, or never was.", hint="Make a new one: watchbill link")
    request.session.flush()
    return _enter(request, ensure_login(link.person_id), method="link", break_glass=link.break_glass)


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """Ends this session, here and in the database."""
    request.session.flush()
    return redirect("signin")


@never_cache
@require_http_methods(["GET", "POST"])
def password(request: HttpRequest) -> HttpResponse:
    """Sets one's own password. Other sessions end; this one goes on under a new key."""
    reader = reader_of(request)
    if reader is None or reader.actor.via != "web" or not reader.places:
        raise SignInNeeded("Sign in first.")
    form = PasswordForm(request.POST or None)
    if request.method == "POST":
        try:
            valid = form.is_valid()
        except ValidationError:
            valid = False
        if valid:
            set_password(
                by=reader.actor,
                workspace_id=reader.places[0].id,
                person_id=reader.person_id,
                password=form.cleaned_data["password"],
            )
            login = ensure_login(reader.person_id)
            request.session.flush()
            record_authentication(request, login, method="password", **({"mfa": True} if reader.actor.mfa else {}))
            from django.contrib.auth import login as enter

            enter(request, login, backend=settings.AUTHENTICATION_BACKENDS[0])
            return redirect("account")
    return render(request, "console/password.html", {"form": form}, status=200 if request.method == "GET" else 422)


def current_session_id(request: HttpRequest) -> UUID | None:
    """The id of the session of this request, to mark it in a list."""
    key = request.session.session_key
    return Session.objects.filter(digest=digest(key)).values_list("id", flat=True).first() if key else None


@require_http_methods(["GET", "POST"])
def sessions(request: HttpRequest) -> HttpResponse:
    """One's own sessions, to end those that are not wanted."""
    reader = people_reader(request)
    if not reader.places:
        raise NotFound("No workspace is open to you.")
    here = reader.places[0].id
    if request.method == "POST":
        revoke_session(by=reader.actor, workspace_id=here, session_id=as_uuid(request.POST.get("session", "")))
        return redirect("sessions")
    rows = access_sessions(reader.actor, here, current=current_session_id(request))
    return render(request, "signin/sessions.html", {"sessions": rows, "everybody": False})


@require_http_methods(["GET", "POST"])
def workspace_sessions(request: HttpRequest, slug: str) -> HttpResponse:
    """Everybody's sessions, for who manages them."""
    reader, place = place_of(request, slug)
    if request.method == "POST":
        revoke_session(by=reader.actor, workspace_id=place.id, session_id=as_uuid(request.POST.get("session", "")))
        return redirect("settings_sessions", slug)
    rows = access_sessions(reader.actor, place.id, everybody=True, current=current_session_id(request))
    return render(request, "signin/sessions.html", {"sessions": rows, "everybody": True})


@require_POST
def person_link(request: HttpRequest, slug: str, person_id: UUID) -> HttpResponse:
    """Makes a sign-in link for a person and shows it once."""
    reader, place = place_of(request, slug)
    text = make_link(by=reader.actor, workspace_id=place.id, person_id=person_id, life=timedelta(days=1))
    person = access_person(reader.actor, place.id, person_id)
    return render(
        request, "signin/link_made.html", {"person": person, "address": f"{settings.PUBLIC_URL}/signin/link/{text}"}
    )
