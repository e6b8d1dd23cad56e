"""How persons are reached: their addresses, numbers and browsers. Every change writes its ledger entry."""

import base64
import json
from uuid import UUID

from django.db import IntegrityError, transaction

from watchbill.base.actor import Actor
from watchbill.base.errors import Conflict, Invalid, NotFound
from watchbill.ledger.command import announce, command, record
from watchbill.ledger.quieter import announced, harmless
from watchbill.people.commands import person_here, require_no_further_reach
from watchbill.people.models import ContactMethod
from watchbill.people.values import clean_contact, read_subscription
from watchbill.runtime.now import now

#: Browsers of one person that are notified.
MOST_BROWSERS = 10


@command("person.contact.add", needs=None, quieter=harmless("more ways to reach somebody"))
def add_contact(*, by: Actor, workspace_id: UUID, person_id: UUID, kind: str, value: str) -> ContactMethod:
    """Adds an e-mail address or phone number. Everybody may add their own; else this needs person.edit."""
    if kind == "push":
        raise Invalid("A browser is added from that browser.", hint="Open My paging in it.", field="kind")
    if person_id != by.id:
        by.require("person.edit", workspace_id)
    person = person_here(workspace_id, person_id)
    if kind == "email":
        require_no_further_reach(by, person_id)
    contact = ContactMethod(
        person=person, kind=kind, value=clean_contact(kind, value), position=person.contacts.count()
    )
    try:
        with transaction.atomic():
            contact.save(force_insert=True)
    except IntegrityError:
        raise Conflict("That e-mail address is in use on this hub.", field="email") from None
    record(("person", person_id), detail={"kind": kind}, personal={kind: contact.value}, about=[person_id])
    return contact


@command("person.browser.add", needs=None, quieter=harmless("more ways to reach somebody"))
def add_browser(*, by: Actor, workspace_id: UUID, subscription: str, label: str) -> ContactMethod:
    """Adds the browser that one sits at as a way to be notified. Decides itself: one's own, so it counts as verified. Again renews it."""
    person = person_here(workspace_id, by.id)
    told = read_subscription(subscription)
    value = json.dumps(
        {"endpoint": told.endpoint, "keys": {"p256dh": _text64(told.p256dh), "auth": _text64(told.auth)}}
    )
    mine = [
        one for one in person.contacts.filter(kind="push") if read_subscription(one.value).endpoint == told.endpoint
    ]
    contact = mine[0] if mine else ContactMethod(person=person, kind="push", position=person.contacts.count())
    if not mine and person.contacts.filter(kind="push").count() >= MOST_BROWSERS:
        raise Conflict(f"You have {MOST_BROWSERS} browsers already.", hint="Remove one that you use no more.")
    contact.value, contact.label, contact.verified_at = value, " ".join(label.replace("\0", "").split())[:80], now()
    contact.save()
    record(
        ("person", by.id),
        detail={"kind": "push", "again": bool(mine)},
        personal={"browser": contact.label},
        about=[by.id],
    )
    return contact


def _text64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


@command("person.contact.gone", needs=None, quieter=harmless("only the hub itself does this"))
def drop_contact(*, by: Actor, workspace_id: UUID, contact_id: UUID) -> None:
    """Takes away a contact that serves nobody any more, as who carries its messages says. Only the hub itself does this."""
    contact = ContactMethod.objects.filter(id=contact_id).first()
    if contact is None:
        record(("workspace", workspace_id), detail={"nothing": True})
        return
    record(("person", contact.person_id), detail={"kind": contact.kind}, about=[contact.person_id])
    contact.delete()


@command("person.contact.remove", needs=None, quieter=announced("somebody else's contact is removed"))
def remove_contact(*, by: Actor, workspace_id: UUID, person_id: UUID, contact_id: UUID) -> None:
    """Removes a contact method. Everybody may remove their own; else this needs person.edit."""
    if person_id != by.id:
        by.require("person.edit", workspace_id)
    person = person_here(workspace_id, person_id)
    contact = person.contacts.filter(id=contact_id).first()
    if contact is None:
        raise NotFound("There is no such contact method.")
    told = contact.label or "" if contact.kind == "push" else contact.value
    record(("person", person_id), detail={"kind": contact.kind}, personal={contact.kind: told}, about=[person_id])
    if person_id != by.id:
        word = {"email": "An e-mail address", "phone": "A telephone number", "push": "A browser"}[contact.kind]
        announce(f"{word} of {{0}} was removed", people=[person_id], loses=[person_id])
    contact.delete()
