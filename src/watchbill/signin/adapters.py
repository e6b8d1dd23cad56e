"""django-allauth, told about this hub: no sign-up, our persons, our outbound rules, groups to roles."""

from typing import Any
from uuid import UUID

import structlog
from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialAccount, SocialApp
from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from watchbill.base.errors import Denied
from watchbill.outbound.client import guarded_requests_session
from watchbill.people.models import ContactMethod, Person
from watchbill.runtime.http import client_address, error_response, request_id_of
from watchbill.secrets.envelope import open_text, seal_text
from watchbill.signin.commands import ensure_login, note_failure, sync_all_groups
from watchbill.signin.models import Login

log = structlog.get_logger("watchbill.signin")


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Nobody signs up by themselves; people are invited."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Never."""
        return False

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        """The overview."""
        return "/"

    def get_logout_redirect_url(self, request: HttpRequest) -> str:
        """The sign-in page."""
        return reverse("signin")

    def reauthenticate(self, user: Login, password: str) -> bool:
        """Whether this is the signed-in person's password."""
        return user.check_password(password)

    def get_client_ip(self, request: HttpRequest) -> str:
        """For allauth's rate limits."""
        return client_address(request) or "unknown"


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """What an authenticator app shows."""

    def get_totp_label(self, user: Login) -> str:
        """The person's name."""
        return Person.objects.get(id=user.person_id).name

    def get_totp_issuer(self) -> str:
        """The hub."""
        return "Watchbill"

    def encrypt(self, text: str) -> str:
        """TOTP seeds are encrypted at rest with a key that only the hub has."""
        return seal_text(settings.KEYS, "mfa", text)

    def decrypt(self, encrypted_text: str) -> str:
        """The seed, to check a code."""
        known = [settings.KEYS, *([settings.PREVIOUS_KEYS] if settings.PREVIOUS_KEYS else [])]
        return open_text(known, "mfa", encrypted_text)


class SocialAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """OpenID Connect: one provider, from the settings; persons are matched by verified e-mail or by mapped groups."""

    def list_apps(
        self, request: HttpRequest, provider: str | None = None, client_id: str | None = None
    ) -> list[SocialApp]:
        """The provider of WATCHBILL_OIDC_*, when it is set."""
        config = settings.OIDC
        if not config or provider not in {None, "openid_connect", "oidc"}:
            return []
        app = SocialApp(
            provider="openid_connect",
            provider_id="oidc",
            name=config["name"],
            client_id=config["client_id"],
            secret=config["client_secret"],
            settings={
                "server_url": config["issuer"],
                "oauth_pkce_enabled": True,
                "token_auth_method": "client_secret_basic",
            },
        )
        return [] if client_id and client_id != app.client_id else [app]

    def get_requests_session(self) -> Any:
        """allauth brings its own HTTP client; it goes out through the guarded way."""
        return guarded_requests_session(allow=settings.OIDC["issuer"])

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,
        error: str | None = None,
        exception: Exception | None = None,
        extra_context: dict[str, Any] | None = None,
    ) -> None:
        """A sign-in that broke at the provider is in the log with its reason, and in the ledger."""
        log.warning("oidc.failed", error=str(error or ""), exc_info=exception)
        reason = f"the provider's answer could not be used ({error or type(exception).__name__})"
        note_failure(method="oidc", reason=reason, request_id=request_id_of(request), address=client_address(request))

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        """Never by form: pre_social_login has decided before."""
        return False

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        """Finds the person of an account at the provider, or turns it away; then brings roles from groups up to date."""
        data = sociallogin.account.extra_data
        claims = {
            **data.get("id_token", {}),
            **data.get("userinfo", {}),
            **{k: v for k, v in data.items() if isinstance(v, str | list | bool)},
        }
        groups = [str(group) for group in _as_list(claims.get(settings.OIDC["groups"]))]
        try:
            person_id = _match(sociallogin, claims, groups)
        except Denied as error:
            note_failure(
                method="oidc", reason=error.detail, request_id=request_id_of(request), address=client_address(request)
            )
            raise ImmediateHttpResponse(error_response(request, error)) from None
        login = ensure_login(person_id)
        if not sociallogin.is_existing:
            sociallogin.account, _ = SocialAccount.objects.get_or_create(
                provider=sociallogin.account.provider,
                uid=sociallogin.account.uid,
                defaults={"user": login, "extra_data": {}},
            )
            sociallogin.user = login
        sync_all_groups(person_id, groups, request_id=request_id_of(request))
        request.oidc_mfa = bool({"mfa", "otp", "hwk"} & set(_as_list(claims.get("amr"))))  # type: ignore[attr-defined]


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


def _match(sociallogin: Any, claims: dict[str, Any], groups: list[str]) -> UUID:
    """The person of an account: linked before, else by verified e-mail. Raises Denied saying what to do."""
    if sociallogin.is_existing:
        person_id: UUID = sociallogin.user.person_id
    else:
        email = str(claims.get("email") or "")
        if not email or claims.get("email_verified") is False:
            raise Denied(
                "Your identity provider sends no verified e-mail address, so nobody here can be matched.",
                hint="Ask its administrator for the e-mail claim.",
            )
        contact = ContactMethod.objects.using("signin").filter(kind="email", value__iexact=email).first()
        if contact is None:
            raise Denied(
                "Nobody with your e-mail address is known to this hub.",
                hint="Ask an admin of your workspace to invite you.",
            )
        person_id = contact.person_id
    if not Person.objects.using("signin").filter(id=person_id, active=True).only("id").exists():
        raise Denied("Your access to this hub has ended.", hint="Ask an admin of your workspace.")
    return person_id
