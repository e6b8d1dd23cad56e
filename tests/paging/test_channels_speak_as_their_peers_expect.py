"""E-mail, Twilio and signed webhooks against their peers: what goes out, what a refusal means, what the vendors' own libraries say to it."""

from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cast import Cast
from tests.night import night
from tests.peers.mail import PASSWORD, Mail
from tests.peers.twilio import NUMBER, SID, TOKEN, Script, Twilio
from watchbill.base.errors import Invalid
from watchbill.paging.channels.email.channel import EMAIL
from watchbill.paging.channels.twilio.channel import TWILIO, gather, signature, twiml
from watchbill.paging.message import Message, Permanent, Temporary


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
def test_a_mail_goes_out_with_its_link_and_nobodys_absence_answers_it() -> None:
    message = Message(
        "7",
        "[Sev1] Sync fails (INC-1)",
        "Since 09:10.",
        "On-Call SRE; on call now",
        "http://hub/w/x",
        "http://hub/reply/k",
        more=0,
    )
    with Mail(login=True) as mail:
        EMAIL.send("email", "edo@example.org", message, EMAIL.clean(mail.config()), PASSWORD)
        ((to, found),) = mail.got
    assert to == "edo@example.org"
    assert found["Subject"] == "[Sev1] Sync fails (INC-1)"
    assert (found["Auto-Submitted"], found["Importance"]) == ("auto-generated", "high")
    assert "Acknowledge: http://hub/reply/k" in found.get_content()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [("550 no such user", Permanent), ("451 try later", Temporary), ("452 full", Temporary), ("553 no", Permanent)],
)
def test_what_a_mail_server_refuses_is_for_now_or_for_good(answer: str, kind: type[Exception]) -> None:
    with Mail() as mail:
        mail.refused["x@example.org"] = answer
        with pytest.raises(kind, match=answer[:3]):
            EMAIL.send("email", "x@example.org", Message("1", "t"), EMAIL.clean(mail.config()), "")


@pytest.mark.filterwarnings("ignore:Requiring AUTH")
def test_a_mail_server_that_is_not_there_or_wants_another_password_is_for_now() -> None:
    with Mail(login=True) as mail:
        with pytest.raises(Temporary):
            EMAIL.send("email", "x@example.org", Message("1", "t"), EMAIL.clean(mail.config()), "wrong")
        config = EMAIL.clean(mail.config())
    with pytest.raises(Temporary, match="does not answer"):
        EMAIL.send("email", "x@example.org", Message("1", "t"), config, "")


@pytest.mark.parametrize("host", ["169.254.169.254", "10.0.0.7"])
def test_a_mail_server_may_be_no_address_inside_that_nobody_declared(host: str) -> None:
    with pytest.raises(Permanent, match="will not go out"):
        EMAIL.send(
            "email", "x@example.org", Message("1", "t"), EMAIL.clean({"host": host, "from": "a@example.org"}), ""
        )


@pytest.mark.parametrize(
    ("field", "value"),
    [("port", "x"), ("port", "70000"), ("from", "nobody"), ("host", "http://x"), ("tls", "maybe"), ("host", "")],
)
def test_wrong_settings_are_named(field: str, value: str) -> None:
    good = {"host": "mail.example.org", "from": "a@example.org"}
    with pytest.raises(Invalid) as error:
        EMAIL.clean(good | {field: value})
    assert error.value.field in (field, "email")


def test_the_peer_passes_the_vendors_own_calls() -> None:
    """Twilio's SDK talks to our peer as to Twilio itself."""
    from twilio.base.exceptions import TwilioRestException
    from twilio.http.http_client import TwilioHttpClient
    from twilio.rest import Client

    with Twilio(post=lambda url, form, headers: (200, "<Response/>")) as peer:

        class Here(TwilioHttpClient):
            def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
                return super().request(method, url.replace("https://api.twilio.com", peer.url), *args, **kwargs)

        client = Client(SID, TOKEN, http_client=Here())
        message = client.messages.create(to="+447700900123", from_=NUMBER, body="hello")
        assert (message.status, message.sid[:2]) == ("queued", "SM")
        assert client.calls.create(to="+447700900123", from_=NUMBER, url="http://hub/x").sid.startswith("CA")
        with pytest.raises(TwilioRestException) as error:
            client.messages.create(to="nonsense", from_=NUMBER, body="x")
        assert error.value.code == 21211
        with pytest.raises(TwilioRestException):
            Client(SID, "wrong", http_client=Here()).messages.create(to="+447700900123", from_=NUMBER, body="x")


def test_our_signature_is_the_vendors() -> None:
    from twilio.request_validator import RequestValidator

    form = {"CallSid": "CA1", "Digits": "1", "To": "+44 20", "Ünï": "ß"}
    for url in ("https://hub.example.org/reply/k/key", "https://hub.example.org:8443/reply/k/key?a=b"):
        assert signature(TOKEN, url, form.items()) == RequestValidator(TOKEN).compute_signature(url, form)
        assert RequestValidator(TOKEN).validate(url, form, signature(TOKEN, url, form.items()))


def test_our_twiml_is_the_vendors() -> None:
    from twilio.twiml.voice_response import Gather, VoiceResponse

    theirs = VoiceResponse()
    asked = Gather(num_digits=1, timeout=8, method="POST", action="http://h/k?a=1&b=2")
    for _ in range(2):
        asked.say('Sync <fails> & "burns"')
        if _ == 0:
            asked.pause(length=1)
    theirs.append(asked)
    from xml.etree import ElementTree

    ours = twiml(gather("http://h/k?a=1&b=2", 'Sync <fails> & "burns"'))

    def shape(text: str) -> list[tuple[str, tuple[tuple[str, str], ...], str | None]]:
        return [(one.tag, tuple(sorted(one.attrib.items())), one.text) for one in ElementTree.fromstring(text).iter()]

    assert shape(ours) == shape(str(theirs))


@pytest.mark.parametrize(
    ("error", "kind"), [(21211, Permanent), (21610, Permanent), (20429, Temporary), (30001, Temporary)]
)
def test_what_twilio_refuses_is_for_now_or_for_good(error: int, kind: type[Exception]) -> None:
    with Twilio() as peer:
        peer.scripts["+447700900123"] = Script(error=error)
        with pytest.raises(kind, match=str(error)):
            TWILIO.send("sms", "+447700900123", Message("1", "t"), TWILIO.clean(peer.config()), TOKEN)
        config = TWILIO.clean(peer.config())
    with pytest.raises(Temporary):
        TWILIO.send("sms", "+447700900123", Message("1", "t"), config, TOKEN)


def test_a_text_message_keeps_the_link_however_long_the_title_is() -> None:
    text = Message("1", "x" * 900, reply_url="http://hub/reply/k", more=3).short()
    assert len(text) <= 300
    assert text.endswith("http://hub/reply/k")
    assert "3 more" in text


@given(st.text(max_size=200), st.text(max_size=100))
def test_any_title_is_a_mail_and_a_call(title: str, why: str) -> None:
    from xml.etree import ElementTree

    from watchbill.intake.twilio.reply import ask
    from watchbill.paging.channels.email.channel import compose

    compose(Message(str(uuid4()), title, why=why), "hub@example.org", "a@example.org").as_bytes()
    ElementTree.fromstring(ask(title, why, "http://h/k"))


@pytest.fixture
def receiver() -> Any:
    """Somebody's server that takes webhooks: it keeps them, and answers as it is told."""
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Receiver(HTTPServer):
        answer, got = 200, []  # type: ignore[var-annotated]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            server: Any = self.server
            server.got.append((dict(self.headers), self.rfile.read(int(self.headers["Content-Length"])).decode()))
            self.send_response(server.answer)
            if server.answer == 302:
                self.send_header("Location", "http://127.0.0.1:9/")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Silent."""

    server = Receiver(("127.0.0.1", 0), Handler)
    server.got = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


SIGNING = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_a_webhook_carries_a_signature_that_the_specifications_own_library_accepts(receiver: Any) -> None:
    from standardwebhooks import Webhook, WebhookVerificationError

    from watchbill.paging.channels.webhook.channel import WEBHOOK

    config = WEBHOOK.clean({"url": f"http://127.0.0.1:{receiver.server_address[1]}/hook"})
    for _ in range(2):
        WEBHOOK.send("webhook", "", Message("7", "Ünïcode [Sev1]", page_url="http://hub/w/x"), config, SIGNING)
    (headers, body), (again, _) = receiver.got
    told = Webhook(SIGNING).verify(body, {name.lower(): value for name, value in headers.items()})
    assert told["data"]["title"] == "Ünïcode [Sev1]"
    assert again["webhook-id"] == headers["webhook-id"], "tried twice, it is the same message"
    with pytest.raises(WebhookVerificationError):
        Webhook(SIGNING).verify(body + " ", {name.lower(): value for name, value in headers.items()})


@pytest.mark.parametrize(("answer", "kind"), [(500, Temporary), (429, Temporary), (302, Temporary), (410, Permanent)])
def test_what_a_receiver_answers_is_for_now_or_for_good(receiver: Any, answer: int, kind: type[Exception]) -> None:
    from watchbill.paging.channels.webhook.channel import WEBHOOK

    receiver.answer = answer
    with pytest.raises(kind):
        WEBHOOK.send(
            "webhook", "", Message("7", "t"), {"url": f"http://127.0.0.1:{receiver.server_address[1]}/"}, SIGNING
        )
    with pytest.raises(Permanent):
        WEBHOOK.send("webhook", "", Message("7", "t"), {"url": "http://127.0.0.1:9/"}, "no base64!")
    with pytest.raises(Permanent, match="never reached"):
        WEBHOOK.send("webhook", "", Message("7", "t"), {"url": "http://169.254.169.254/"}, SIGNING)


def test_a_name_that_is_bound_to_a_channel_is_told_there(cast: Cast, db: Any, receiver: Any) -> None:
    from watchbill.handbook.bindings import bind_name
    from watchbill.paging.setup import set_channel

    with night(cast, db) as it:
        it.set_up()
        url = f"http://127.0.0.1:{receiver.server_address[1]}/hook"
        with cast.acts(cast.ada) as by:
            made = set_channel(
                by=by, workspace_id=cast.main, kind="webhook", name="Chat", config={"url": url}, secret=SIGNING
            )
            bind_name(by=by, workspace_id=cast.main, name="#oncall-sre", target_kind="channel", target_id=made.id)
        it.fire("Quiet", service="web", severity="warning")
        assert [row[:4] for row in it.told() if row[1] == "Chat"] == [(1, "Chat", "webhook", "sent")]
        assert "Quiet: web" in receiver.got[0][1]
