"""A night on call, in this process: the example handbook is live, real peers stand for the channels, the worker's steps run by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from django.test import Client

from tests.cast import Cast, as_worker
from tests.peers.mail import Mail
from tests.peers.twilio import TOKEN, Script, Twilio
from watchbill.handbook.commands import apply_handbook
from watchbill.intake.adapters import ADAPTERS

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "handbooks" / "ledger-and-agents"
PHONES = {"edo": "+442079460001", "apo": "+442079460002", "ada": "+442079460003"}
#: Whom the names of the example mean in Main.
BINDINGS = {
    "On-Call SRE": "edo",
    "Ledger Engineering Lead": "apo",
    "AI Platform Owner": "ada",
    "Compliance Manager": "aud",
    "executive": "ada",
}


def example_files() -> tuple[list[tuple[str, str]], str, str]:
    """The documents, lock and settings of the example."""
    names = ("runbook.md", "routes.watchbill.yaml")
    files = [(name, (EXAMPLE / name).read_text("utf-8")) for name in names]
    return files, (EXAMPLE / "watchbill.lock").read_text("utf-8"), (EXAMPLE / "watchbill.yaml").read_text("utf-8")


class Night:
    """Main, with the example live and everybody reachable."""

    def __init__(self, cast: Cast, db: Any, mail: Mail, twilio: Twilio) -> None:
        self.cast, self.db, self.mail, self.twilio = cast, db, mail, twilio
        self.source: Any = None

    def person(self, name: str) -> UUID:
        return getattr(self.cast, name)  # type: ignore[no-any-return]

    def verify(self, *names: str) -> None:
        """Gives people a verified e-mail address and phone."""
        from watchbill.base.ids import uuid7

        for name in names:
            self.db.run(
                "UPDATE people_contact_method SET verified_at = wb_now() WHERE person_id = %s", self.person(name)
            )
            self.db.run(
                "INSERT INTO people_contact_method (id, person_id, kind, value, position, verified_at) VALUES (%s, %s, 'phone', %s, 1, wb_now())",
                uuid7(), self.person(name), PHONES[name],
            )  # fmt: skip

    def set_up(self, *, channels: bool = True) -> Night:
        """The handbook, the names, the channels, an integration."""
        from watchbill.paging.setup import set_channel
        from watchbill.signals.commands import create_source

        for name, who in BINDINGS.items():
            self.cast.bind(name, person_id=self.person(who))
        files, lock, config = example_files()
        with self.cast.acts(self.cast.ada) as by:
            apply_handbook(by=by, workspace_id=self.cast.main, slug="main", files=files, lock=lock, config=config)
            if channels:
                set_channel(by=by, workspace_id=self.cast.main, kind="email", name="Mail", config=self.mail.config())
                set_channel(
                    by=by,
                    workspace_id=self.cast.main,
                    kind="twilio",
                    name="Twilio",
                    config=self.twilio.config(),
                    secret=TOKEN,
                )
            self.source = create_source(by=by, workspace_id=self.cast.main, protocol="alertmanager", name="Prometheus")[
                0
            ]
        self.verify("edo", "apo", "ada")
        return self

    def fire(
        self,
        name: str = "LedgerCorrupt",
        *,
        service: str = "ledger",
        severity: str = "critical",
        status: str = "firing",
        starts: str = "2026-11-21T16:00:00Z",
        ends: str = "2026-11-21T17:00:00Z",
        **labels: str,
    ) -> None:
        """An alert comes in, or its end."""
        told = {"alertname": name, "service": service, "severity": severity, **labels}
        ends = "0001-01-01T00:00:00Z" if status == "firing" else ends
        alert = {
            "status": status,
            "labels": told,
            "annotations": {"summary": "Numbers do not add up."},
            "startsAt": starts,
            "endsAt": ends,
        }
        body = json.dumps({"version": "4", "groupKey": name, "alerts": [alert]}).encode()
        self.db.run(
            "INSERT INTO signals_arrival (source_id, workspace_id, received_at, body) VALUES (%s, %s, wb_now(), %s)", self.source.id, self.cast.main, body
        )  # fmt: skip
        self.run()

    def run(self) -> None:
        """The worker's steps until nothing is left to do now."""
        from watchbill.clocks.commands import sweep as clocks
        from watchbill.facts.publish import deliver_one
        from watchbill.incidents.timing import sweep as incidents
        from watchbill.paging.commands import sweep as pages
        from watchbill.paging.sending import send_one
        from watchbill.paging.unrouted import sweep as unrouted
        from watchbill.signals.commands import take_in
        from watchbill.signals.reroute import look_again
        from watchbill.signals.silences import sweep as silences

        steps: list[Callable[[], int | bool]] = [
            lambda: take_in(ADAPTERS),
            deliver_one,
            clocks,
            pages,
            silences,
            incidents,
            look_again,
            unrouted,
            send_one,
        ]
        while True:
            with as_worker():
                while any(step() for step in steps):
                    pass
            if not self.twilio.work():
                return

    def rows(self, query: str, *args: Any) -> list[Any]:
        return self.db.run(query, *args)  # type: ignore[no-any-return]

    def incident(self) -> Any:
        """The newest incident's state."""
        return self.rows("SELECT state, severity FROM incidents_incident ORDER BY id DESC LIMIT 1")[0]

    def told(self) -> list[tuple[Any, ...]]:
        """Whom the newest page was for: step, target, method, state; not the notices that somebody took it or that it is over."""
        return self.rows(
            "SELECT d.step, d.target, d.method, d.state FROM paging_delivery d WHERE d.page_id = (SELECT id FROM paging_page ORDER BY id DESC LIMIT 1) AND d.step >= 0 ORDER BY d.step, d.id"
        )  # fmt: skip


def _post(url: str, form: dict[str, str], headers: dict[str, str]) -> tuple[int, str]:
    """Twilio's requests reach the hub of this process."""
    answer = Client(headers=headers).post(url.removeprefix("http://testserver"), form)
    return answer.status_code, answer.content.decode()


@contextmanager
def night(cast: Cast, db: Any, **scripts: Script) -> Iterator[Night]:
    """A night with real peers; ``scripts`` say what happens at whose phone."""
    with ExitStack() as stack:
        mail, twilio = stack.enter_context(Mail()), stack.enter_context(Twilio(post=_post))
        twilio.scripts = {PHONES[name]: script for name, script in scripts.items()}
        yield Night(cast, db, mail, twilio)
