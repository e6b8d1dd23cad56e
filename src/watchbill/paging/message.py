"""What a message says, whatever carries it: short first, for a lock screen at 03:00."""

from dataclasses import dataclass

from watchbill.paging.shorten import fits_text, plain, shorten


@dataclass(frozen=True, slots=True)
class Message:
    """A page as a channel sends it. ``reply_url`` holds a key that acknowledges as its receiver; empty where nobody in person gets it.

    ``answers``: a text back to it reaches the hub.
    """

    id: str
    title: str
    text: str = ""
    why: str = ""
    page_url: str = ""
    reply_url: str = ""
    urgency: str = "high"
    answers: bool = False
    more: int = 0
    workspace: str = ""
    #: What a mail is a reply to: the same for all about one incident, a message id (RFC 5322) without its brackets.
    thread: str = ""
    #: The mail's subject, where it is another one than the title: mail programs thread by it, too.
    subject: str = ""
    #: It makes no sound: it says that something is done.
    silent: bool = False

    @property
    def tail(self) -> str:
        """That more wait than are told."""
        return f"and {self.more} more page{'s' if self.more != 1 else ''} wait for you" if self.more else ""

    def body(self) -> str:
        """As plain text, the most important line first."""
        lines = [self.title, "", self.text, "", f"Why you: {self.why}" if self.why else "", self.tail]
        if self.reply_url:
            lines += ["", f"Acknowledge: {self.reply_url}"]
        if self.page_url:
            lines += [f"Look at it:  {self.page_url}"]
        text, blank = [], True
        for line in lines:
            if line or not blank:
                text.append(line)
            blank = not line
        return "\n".join(text).strip() + "\n"

    def short(self, limit: int = 300) -> str:
        """For a text message: what it is and where to tap. A long name gives way; the incident's number and the link stay."""
        where = self.reply_url or self.page_url
        if self.answers:
            where = f"Answer 1 to acknowledge, or tap {where}"

        def whole(title: str) -> str:
            return " ".join(part for part in (title, f"({self.tail})" if self.tail else "", where) if part)

        title = " ".join(plain(self.title).split())
        return whole(shorten(title, limit, lambda text: len(whole(text)) <= limit and fits_text(whole(text))))


@dataclass(frozen=True, slots=True)
class Sent:
    """A provider took it: its number there, and whether a receipt is to follow."""

    provider_id: str = ""
    receipt: bool = False


class Temporary(Exception):
    """It may go through later: the server is away, busy, or slow. ``retry_after`` is how many seconds it asked to be left alone.

    ``contact``: it is this receiver's address that fails, which says nothing about the channel.
    """

    def __init__(self, words: str, *, retry_after: float | None = None, contact: bool = False) -> None:
        super().__init__(words)
        self.retry_after, self.contact = retry_after, contact


class Permanent(Exception):
    """It will never go through like this: the address does not exist, the credentials are refused.

    ``contact``: it is this receiver's address that fails, which says nothing about the channel.
    """

    def __init__(self, words: str, *, contact: bool = False) -> None:
        super().__init__(words)
        self.contact = contact


class Gone(Permanent):
    """The address serves nobody any more: it is taken from its person."""
