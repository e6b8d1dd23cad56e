"""Django's sessions with hashed keys: whoever reads the table cannot sign in with what stands there."""

import hashlib
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.sessions.backends.base import CreateError, SessionBase, UpdateError
from django.db import DatabaseError, IntegrityError, transaction

from watchbill.runtime.now import now
from watchbill.signin.models import Session

IDLE = timedelta(days=14)
PERSON = "watchbill_person"


def digest(key: str) -> bytes:
    """What the table knows of a session key (150 random bits or more)."""
    return hashlib.sha256(key.encode()).digest()


class SessionStore(SessionBase):
    """The engine named in SESSION_ENGINE."""

    address: str | None = None
    agent: str = ""

    def load(self) -> dict[str, Any]:
        """The session's data; an unknown or expired key gives an empty new one."""
        row = Session.objects.filter(digest=digest(self.session_key or ""), expires_at__gt=now("signin")).first()
        if row is None:
            self._session_key = None
            return {}
        self.row_id, self.seen_at = row.id, row.seen_at
        return self.decode(row.data)

    def exists(self, session_key: str) -> bool:
        """Whether the key is taken."""
        return Session.objects.filter(digest=digest(session_key)).exists()

    def create(self) -> None:
        """Makes a row under a new key."""
        while True:
            self._session_key = self._get_new_session_key()  # type: ignore[attr-defined]
            try:
                self.save(must_create=True)
            except CreateError:
                continue
            self.modified = True
            return

    def save(self, must_create: bool = False) -> None:
        """Writes the data; a revoked session cannot come back this way."""
        if self.session_key is None:
            return self.create()
        data = self._get_session(no_load=must_create)  # type: ignore[attr-defined]
        at = now("signin")
        person = data.get(PERSON)
        values = {
            "data": self.encode(data),
            "person_id": UUID(person) if person else None,
            "seen_at": at,
            "expires_at": at + (IDLE if person else timedelta(hours=1)),
        }
        if self.address:
            values |= {"address": self.address, "agent": self.agent[:300]}
        if must_create:
            try:
                with transaction.atomic(using="signin"):
                    Session(digest=digest(self.session_key), created_at=at, **values).save(force_insert=True)
            except IntegrityError:
                raise CreateError from None
        else:
            try:
                if not Session.objects.filter(digest=digest(self.session_key)).update(**values):
                    raise UpdateError
            except DatabaseError:
                raise UpdateError from None
        return None

    def delete(self, session_key: str | None = None) -> None:
        """Ends the session."""
        key = session_key or self.session_key
        if key:
            Session.objects.filter(digest=digest(key)).delete()

    @classmethod
    def clear_expired(cls) -> None:
        """The sweeper does this with its own principal."""
