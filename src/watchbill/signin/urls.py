"""Addresses of signing in. Of django-allauth's views only the needed ones are reachable."""

from collections.abc import Callable

from allauth.account import views as account
from allauth.mfa.base import views as mfa
from allauth.mfa.recovery_codes import views as codes
from allauth.mfa.totp import views as totp
from allauth.socialaccount import views as social
from allauth.socialaccount.providers.openid_connect import views as oidc
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path

from watchbill.signin import pages


def _whole(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """allauth opens its transactions on `default`; its tables are reached through `signin`, which needs one, too."""
    return transaction.atomic(using="signin")(view)


def _closed(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
    """allauth names these addresses; here people are invited and links are made instead."""
    return redirect("signin")


urlpatterns = [
    path("signin", pages.sign_in, name="signin"),
    path("signin", pages.sign_in, name="account_login"),
    path("signin/link/<str:text>", pages.one_time_link, name="one_time_link"),
    path("signin/confirm", _whole(account.reauthenticate), name="account_reauthenticate"),
    path("signin/closed", _closed, name="account_signup"),
    path("signin/closed", _closed, name="account_reset_password"),
    path("signin/closed", _closed, name="account_inactive"),
    path("signin/closed", _closed, name="account_email"),
    path("signin/closed", _closed, name="account_change_password"),
    path("signin/closed", _closed, name="account_set_password"),
    path("signin/closed", _closed, name="account_email_verification_sent"),
    path("signin/closed", _closed, name="socialaccount_signup"),
    path("signout", pages.sign_out, name="signout"),
    path("signout", pages.sign_out, name="account_logout"),
    path("account/password", pages.password, name="password"),
    path("account/sessions", pages.sessions, name="sessions"),
    path("w/<slug:slug>/settings/sessions", pages.workspace_sessions, name="settings_sessions"),
    path("w/<slug:slug>/people/<uuid:person_id>/link", pages.person_link, name="person_link"),
    path("account/two-factor", _whole(mfa.index), name="mfa_index"),
    path("account/two-factor/confirm", _whole(mfa.reauthenticate), name="mfa_reauthenticate"),
    path("signin/two-factor", _whole(mfa.authenticate), name="mfa_authenticate"),
    path("account/two-factor/app", _whole(totp.activate_totp), name="mfa_activate_totp"),
    path("account/two-factor/app/remove", _whole(totp.deactivate_totp), name="mfa_deactivate_totp"),
    path("account/two-factor/codes", _whole(codes.view_recovery_codes), name="mfa_view_recovery_codes"),
    path("account/two-factor/codes/new", _whole(codes.generate_recovery_codes), name="mfa_generate_recovery_codes"),
    path(
        "account/two-factor/codes/download", _whole(codes.download_recovery_codes), name="mfa_download_recovery_codes"
    ),
    path("signin/oidc/<str:provider_id>/login", _whole(oidc.login), name="openid_connect_login"),
    path("signin/oidc/<str:provider_id>/callback", _whole(oidc.callback), name="openid_connect_callback"),
    path("signin/cancelled", _whole(social.login_cancelled), name="socialaccount_login_cancelled"),
    path("signin/failed", _whole(social.login_error), name="socialaccount_login_error"),
    path("account/connections", _whole(social.connections), name="socialaccount_connections"),
]
