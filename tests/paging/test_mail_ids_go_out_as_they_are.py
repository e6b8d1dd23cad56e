"""Message ids stand in a mail byte by byte as they are, however long: encoded or broken ones thread nowhere (RFC 5322, 3.6.4; RFC 2047, 5)."""

import re
from uuid import UUID

import pytest
from django.test import override_settings

from tests.peers.mail import Mail
from watchbill.base.ids import uuid7
from watchbill.outbound.rules import read_policy
from watchbill.paging.channels.email.channel import EMAIL, compose
from watchbill.paging.message import Message
from watchbill.paging.rules import thread_of

HOSTS = [
    "hub.example.org",
    "watchbill.ops.payments.example.com",
    ".".join(["watchbill"] * 12) + ".example.com",
    "x" * 63 + ".example.com",
    "a." * 120 + "example.com",
    "wächter.example.org",
    "under_score.example.org",
    "127.0.0.1",
    "[::1]",
    "hub",
]
SUBJECTS = [
    ("[Sev1] Down (INC-142)", "incident", "0192f3a4-0000-7000-8000-000000000001"),
    ("Channel test", "channel-test", "0192f3a4-0000-7000-8000-000000000001"),
    ("This alert pages nobody", "unrouted", "0192f3a4-0000-7000-8000-000000000001"),
    ("This hub cannot page", "ability", "0192f3a4-0000-7000-8000-000000000001 2026-11-26T02:25:00+00:00"),
    ("You are on call now: Zürich", "handover", "ü €" * 200),
    ("Something else", "", ""),
]
#: An id on a line of its own header, unfolded: dot-atoms only, nothing encoded.
_ID = rb"<[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*>"


def ids(raw: bytes, name: bytes) -> bytes:
    """A header's value on the wire, which has to stand on one line."""
    head = raw.partition(b"\r\n\r\n")[0]
    (found,) = re.findall(rb"^" + name + rb": ([^\r\n]*)\r\n(?![ \t])", head, re.M)
    return found  # type: ignore[no-any-return]


@pytest.mark.parametrize("host", HOSTS)
def test_no_id_is_encoded_or_folded_on_the_wire(host: str) -> None:
    with Mail() as mail, override_settings(OUTBOUND=read_policy("127.0.0.1", "")):
        sent = []
        for title, kind, subject_id in SUBJECTS:
            thread = thread_of(UUID(int=7), title, kind, subject_id, f"https://{host}")
            message = Message(str(uuid7()), title, thread=thread, urgency="low")
            taken = EMAIL.send("email", "edo@example.org", message, mail.config(), "")
            sent.append((taken.provider_id.encode(), f"<{thread}>".encode()))
        assert len(mail.raw) == len(SUBJECTS)
        for raw, (own, root) in zip(mail.raw, sent, strict=True):
            assert re.fullmatch(_ID, own), own
            assert re.fullmatch(_ID, root), root
            assert ids(raw, b"Message-ID") == own
            assert ids(raw, b"In-Reply-To") == ids(raw, b"References") == root
            assert max(len(line) for line in raw.split(b"\r\n")) <= 998


@pytest.mark.parametrize(
    "sender", ["hub@" + "long." * 30 + "example.org", "Watchbill <hub@example.org>", "hub@wächter.example", "hub"]
)
def test_a_mail_without_a_thread_has_an_id_of_its_senders_domain(sender: str) -> None:
    for message in (Message("0192f3a4-0000-7000-8000-000000000001", "Code"), Message("", "Code"), Message("ü /1", "")):
        mail = compose(message, sender, "edo@example.org")
        raw = mail.as_bytes(policy=mail.policy.clone(linesep="\r\n"))
        assert re.fullmatch(_ID, ids(raw, b"Message-ID"))
        assert b"References" not in raw


def test_several_ids_are_folded_between_and_never_inside() -> None:
    mail = compose(Message("7", "Down", thread="inc-1@hub.example.org"), "hub@example.org", "edo@example.org")
    roots = [f"<{number}.{'x' * 60}@hub.example.org>" for number in range(20)]
    del mail["References"]
    mail["References"] = " ".join(roots)
    head = mail.as_bytes(policy=mail.policy.clone(linesep="\r\n")).partition(b"\r\n\r\n")[0].decode() + "\r\n"
    found = re.search(r"^References: ((?:[^\r\n]|\r\n[ \t])+)\r\n", head, re.M)
    assert found
    assert found[1].split("\r\n ") == roots
