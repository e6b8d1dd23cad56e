"""E-mail through an SMTP server (RFC 5321). A code of 4xx is temporary, 5xx permanent; nothing answers for the receiver."""

import re
from email.message import EmailMessage
from email.utils import formatdate

from watchbill.base.errors import Invalid
from watchbill.base.ids import uuid7
from watchbill.outbound.mail import Refused, send_mail
from watchbill.paging.channels.base import Config, Field, Kind, going_out
from watchbill.paging.channels.email.ids import POLICY, message_id
from watchbill.paging.message import Message, Permanent, Sent, Temporary
from watchbill.paging.rules import read_pause
from watchbill.paging.shorten import shorten
from watchbill.people.values import clean_contact

#: Mail programs show less than this; longer ones are folded by some servers and refused by others.
LONGEST_SUBJECT = 200
#: Credentials and protocol: until somebody mends the settings nothing goes through, but mending them is what will happen.
_SETTINGS = {530, 534, 535, 538, 504, 421}
_POLICY = re.compile(r"\s*[45]\.7\.")


def compose(message: Message, sender: str, address: str) -> EmailMessage:
    """The message as an e-mail: plain text, automatic (RFC 3834: nobody's absence answers it)."""
    mail = EmailMessage(policy=POLICY)
    tail = f" ({message.tail})" if message.tail else ""
    subject = " ".join((message.subject or message.title).split())
    mail["Subject"] = shorten(subject, LONGEST_SUBJECT - len(tail)) + tail
    mail["From"], mail["To"] = sender, address
    mail["Date"] = formatdate()
    # The same delivery, tried twice, is the same message: mail programs show it once.
    # Its domain is the hub's own, whichever server and sender carry it.
    domain = (message.thread or sender).rpartition("@")[2].rstrip(">")
    mail["Message-ID"] = message_id(message.id or str(uuid7()), domain)
    if message.thread:
        # The root is no mail itself: all about one incident are replies to it, so that none has to come first (RFC 5322, 3.6.4).
        mail["In-Reply-To"] = mail["References"] = message_id(*message.thread.rpartition("@")[::2])
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    if message.urgency == "high":
        mail["Importance"], mail["X-Priority"] = "high", "1"
    mail.set_content(message.body())
    return mail


def _send(method: str, address: str, message: Message, config: Config, secret: str) -> Sent:
    mail = compose(message, config["from"], address)
    try:
        with going_out():
            send_mail(
                mail, host=config["host"], port=int(config["port"]), tls=config["tls"], user=config["user"], password=secret,
                sender=config["from"], to=address,
            )  # fmt: skip
    except Refused as error:
        words = f"the mail server said {error.code}: {error.words[:200]}"
        # What a server says of one receiver is about that one, unless it is about who sends (RFC 3463: x.7.x, policy; sign in first).
        contact = error.recipient and error.code not in _SETTINGS and not _POLICY.match(error.words)
        if error.code >= 500 and error.code not in _SETTINGS:
            raise Permanent(words, contact=contact) from None
        # SMTP has no field for it; servers that defer unknown senders say it in words.
        pause = read_pause(error.words) if error.code < 500 else None
        raise Temporary(words, retry_after=pause, contact=contact) from None
    return Sent(str(mail["Message-ID"]))


def _check(config: dict[str, str]) -> None:
    if not config["port"].isdigit() or not 0 < int(config["port"]) < 65536:
        raise Invalid("The port is a number from 1 to 65535.", field="port")
    clean_contact("email", config["from"])
    if any(char in config["host"] for char in "/@ :"):
        raise Invalid("The server is a host name, such as smtp.example.org.", field="host")


EMAIL = Kind(
    "email", "E-mail (SMTP)", ("email",),
    (
        Field("host", "Server"), Field("port", "Port", "587"), Field("tls", "Encryption", "starttls", choices=("starttls", "tls", "none")),
        Field("user", "User", optional=True), Field("from", "From", hint="the address that pages come from"),
    ),
    _send, asks="Password", asks_optional=True, check=_check, hosts=lambda config, secret: [config["host"]], contact="email",
)  # fmt: skip
