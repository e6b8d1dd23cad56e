"""Checking a password. The e-mail address finds the person, through the sign-in principal."""

from typing import Any
from uuid import UUID

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.hashers import make_password
from django.http import HttpRequest

from watchbill.people.models import ContactMethod, Person
from watchbill.signin.models import Login


class PasswordBackend(BaseBackend):
    """Takes the same time for unknown addresses as for wrong passwords."""

    def authenticate(
        self, request: HttpRequest | None, email: str = "", password: str = "", **kwargs: Any
    ) -> Login | None:
        """The login, when address and password fit and the person is active."""
        contact = ContactMethod.objects.using("signin").filter(kind="email", value__iexact=email).first()
        login = Login.objects.filter(person_id=contact.person_id).first() if contact else None
        if login is None or not login.has_usable_password():
            make_password(password)
            return None
        return login if login.check_password(password) and is_active(login.person_id) else None

    def get_user(self, user_id: Any) -> Login | None:
        """The login of a session."""
        return Login.objects.filter(pk=user_id).first()


def is_active(person_id: UUID) -> bool:
    """Whether a person may sign in at all."""
    return Person.objects.using("signin").filter(id=person_id, active=True).only("id").exists()


def display(user: Login) -> str:
    """What allauth calls a user in its messages; names stay with the people."""
    return "you"
