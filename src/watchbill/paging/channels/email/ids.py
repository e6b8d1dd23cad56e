"""Message ids (RFC 5322, 3.6.4), and headers that carry them byte by byte.

The standard library would encode a long id as if it were text, or break it; then no mail program finds what it replies to.
"""

import re
from email import policy
from email.headerregistry import BaseHeader, HeaderRegistry, UnstructuredHeader
from email.policy import EmailPolicy

_LABELS = r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*"
#: The domain of an id where a host or address has none that can stand in one.
NOWHERE = "watchbill.invalid"


def message_id(local: str, domain: str) -> str:
    """An id in its brackets, of letters, digits, hyphens and dots alone, whatever is put into it."""
    local = re.sub(r"\.{2,}", ".", re.sub(r"[^A-Za-z0-9.-]", "-", local)).strip(".")[:200].rstrip(".") or "none"
    return f"<{local}@{domain if len(domain) <= 253 and re.fullmatch(_LABELS, domain) else NOWHERE}>"


class _Ids(UnstructuredHeader, BaseHeader):
    """A header of message ids: a line each, none of them encoded or broken."""

    def fold(self, *, policy: policy.Policy) -> str:
        """As it goes out."""
        return f"{self.name}: {(policy.linesep + ' ').join(str(self).split())}{policy.linesep}"


_HEADERS = HeaderRegistry()
for _name in ("message-id", "in-reply-to", "references"):
    _HEADERS.map_to_type(_name, _Ids)
#: How a mail of the hub is written.
POLICY = EmailPolicy(header_factory=_HEADERS)
