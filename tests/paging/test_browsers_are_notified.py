"""Web Push: encrypted for the browser alone, identified by the hub's own key, acknowledged from the notification; a browser that is gone is taken away."""

import json
from collections.abc import Iterator
from typing import Any

import http_ece
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from django.test import Client

from tests.cast import Cast, signed_in
from tests.night import Night, night
from tests.peers.push import Push, unb64
from tests.peers.twilio import Script
from watchbill.base.errors import Invalid
from watchbill.paging.channels.push.channel import LONGEST, PUSH, hub_key, payload, public_key
from watchbill.paging.message import Gone, Message, Permanent, Temporary
from watchbill.paging.pages import browser_of
from watchbill.people.values import read_subscription

CONFIG = {"contact": "ops@example.org"}


@pytest.fixture
def push() -> Iterator[Push]:
    with Push() as peer:
        yield peer


def test_what_we_encrypt_is_read_by_the_key_of_the_rfcs_example() -> None:
    """RFC 8291, appendix A: the receiver's private key and secret of its example."""
    private = ec.derive_private_key(
        int.from_bytes(unb64("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"), "big"), ec.SECP256R1()
    )
    auth = unb64("BTBZMqHH6r4Tts7J_aSIgg")
    example = unb64(
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )
    assert (
        http_ece.decrypt(example, private_key=private, auth_secret=auth) == b"When I grow up, I want to be a watermelon"
    )


def test_a_notification_arrives_with_what_matters_and_nobody_between_can_read_it(push: Push) -> None:
    message = Message(
        "1", "Ledger is down", "text", "you are on call", "https://hub.example/w", "https://hub.example/reply/k"
    )
    sent = PUSH.send("push", push.subscription(), message, CONFIG, "")
    assert push.refused == []
    (told,) = push.got
    assert (told["title"], told["body"]) == ("Ledger is down", "text\nyou are on call")
    assert told["acknowledge"] == "https://hub.example/reply/k/acknowledge"
    assert push.headers[0]["Urgency"] == "high"
    assert sent.provider_id.startswith(push.url)
    # The same key after a restart: a subscription is bound to it.
    assert public_key() == public_key()
    assert hub_key().curve.name == "secp256r1"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (404, Gone),
        (410, Gone),
        (400, Permanent),
        (403, Permanent),
        (413, Permanent),
        (429, Temporary),
        (500, Temporary),
        (503, Temporary),
        (302, Temporary),
    ],
)
def test_what_a_push_service_answers_is_for_now_for_good_or_for_ever(
    push: Push, status: int, kind: type[Exception]
) -> None:
    push.status = status
    with pytest.raises(kind) as problem:
        PUSH.send("push", push.subscription(), Message("1", "t"), CONFIG, "")
    assert type(problem.value) is kind


@pytest.mark.parametrize("letter", ["x", "€", "𝕏", '"', "\n"])
def test_a_long_page_fits_into_one_record(letter: str) -> None:
    text = payload(
        Message(
            "1",
            letter * 400,
            letter * 4000,
            letter * 900,
            "https://hub.example/" + "p" * 200,
            "https://hub.example/reply/" + "k" * 60,
        )
    )
    assert len(text) <= LONGEST
    assert json.loads(text)["acknowledge"].endswith("/acknowledge")


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", "null", '{"endpoint": "https://x", "keys": {}}', '{"endpoint": "ftp://x", "keys": {"p256dh": "AAAA", "auth": "AAAA"}}', "x" * 5000],
)  # fmt: skip
def test_what_is_no_subscription_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="no subscription"):
        read_subscription(text)


def test_a_subscription_to_this_machine_or_by_plain_http_elsewhere_is_refused(push: Push) -> None:
    told = json.loads(push.subscription())
    for endpoint in ("http://push.example.org/x", "https://user@push.example.org/x", "http://127.0.0.1.example.org/x"):
        with pytest.raises(Invalid):
            read_subscription(json.dumps(told | {"endpoint": endpoint}))


def with_push(it: Night, push: Push, db: Any) -> Client:
    from watchbill.paging.setup import set_channel

    it.set_up()
    with it.cast.acts(it.cast.ada) as by:
        set_channel(by=by, workspace_id=it.cast.main, kind="push", name="Browsers", config=CONFIG)
    browser = signed_in(it.cast.edo)
    agent = "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Mobile Safari/537.36"
    page = browser.get("/w/main/my-paging").content.decode()
    assert f'data-push-key="{public_key()}"' in page
    for _ in range(2):
        done = browser.post(
            "/w/main/my-paging", {"do": "push", "subscription": push.subscription()}, HTTP_USER_AGENT=agent
        )
        assert done.status_code == 302
    assert db.run("SELECT label, verified_at IS NOT NULL FROM people_contact_method WHERE kind = 'push'") == [
        ("Chrome on Android", True)
    ]
    return browser


def test_a_page_is_acknowledged_from_the_notification(cast: Cast, db: Any, push: Push) -> None:
    with night(cast, db, edo=Script("no-answer")) as it:
        browser = with_push(it, push, db)
        page = browser.get("/w/main/my-paging").content.decode()
        assert "Chrome on Android" in page
        assert push.url not in page
        it.fire()
        (told,) = push.got
        assert "LedgerCorrupt" in told["title"]
        path = told["acknowledge"].partition("/reply/")[2]
        # What the service worker does: no cookie, no form, only the key in the address.
        phone = Client(enforce_csrf_checks=True)
        assert phone.get(f"/reply/{path}").status_code == 405
        answer = phone.post(f"/reply/{path}").json()
        assert answer == {"state": "acknowledged", "first": True, "said": "Acknowledged: it is yours"}
        assert phone.post(f"/reply/{path}").json()["first"] is False
        assert db.run("SELECT acknowledged_via FROM paging_page WHERE subject_kind = 'incident'") == [("push",)]
        assert phone.post("/reply/wbr_unknown-key-of-nobody-000000/acknowledge").status_code == 404
        # Keys of browsers are nobody's to read: neither the ledger nor another person sees them.
        auth = json.loads(push.subscription())["keys"]["auth"]
        told_all = str(db.run("SELECT body FROM ledger_entry")) + str(db.run("SELECT body FROM ledger_payload"))
        assert auth not in told_all
        assert auth not in signed_in(cast.ada).get(f"/w/main/people/{cast.edo}").content.decode()


def test_a_browser_that_is_gone_is_taken_away_and_the_next_method_serves(cast: Cast, db: Any, push: Push) -> None:
    with night(cast, db, edo=Script("no-answer")) as it:
        with_push(it, push, db)
        push.status = 410
        it.fire()
        assert db.run("SELECT count(*) FROM people_contact_method WHERE kind = 'push'") == [(0,)]
        assert db.run("SELECT state, reason FROM paging_delivery WHERE method = 'push'") == [
            ("failed", "the browser takes no notifications any more")
        ]
        assert it.mail.got
        browser = signed_in(cast.edo)
        assert "Chrome on Android" not in browser.get("/w/main/my-paging").content.decode()


def test_ones_browser_is_removed_by_oneself(cast: Cast, db: Any, push: Push) -> None:
    with night(cast, db, edo=Script("no-answer")) as it:
        browser = with_push(it, push, db)
        ((contact,),) = db.run("SELECT id FROM people_contact_method WHERE kind = 'push'")
        assert signed_in(cast.apo).post("/w/main/my-paging", {"do": "remove", "contact": contact}).status_code == 404
        assert browser.post("/w/main/my-paging", {"do": "remove", "contact": contact}).status_code == 302
        assert db.run("SELECT count(*) FROM people_contact_method WHERE kind = 'push'") == [(0,)]


def test_the_service_worker_is_served_at_the_top_and_to_everybody() -> None:
    found = Client().get("/service-worker.js")
    assert (found.status_code, found["Content-Type"]) == (200, "text/javascript; charset=utf-8")
    assert b"notificationclick" in found.content
    assert "worker-src 'self'" in found["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("agent", "words"),
    [
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/131 Safari/537.36 Edg/131", "Edge on Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0) Version/18.0 Safari/604.1", "Safari on iPhone"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Firefox/130.0", "Firefox on Linux"),
        ("", "A browser"),
    ],
)
def test_a_browser_is_called_by_its_name(agent: str, words: str) -> None:
    assert browser_of(agent) == words
