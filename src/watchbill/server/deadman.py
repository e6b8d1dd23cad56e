"""The dead man's switch: somebody outside is pinged only while the way from the intake to a delivery really works, end to end.

Every round an alert is sent to the hub's own address, as a sender would; when its message has gone out through the test channel,
the address outside is pinged. What fails anywhere on the way means that no ping goes out, and whoever listens there hears of it.
"""

import json
import time
import uuid
from collections.abc import Callable

import structlog
from django.conf import settings
from django.db import transaction

from watchbill.base.actor import system
from watchbill.base.errors import Unavailable, WatchbillError
from watchbill.base.ids import HUB
from watchbill.outbound.client import fetch
from watchbill.paging.models import Channel, Delivery
from watchbill.paging.setup import set_channel
from watchbill.paging.subscribers import NAME
from watchbill.people import tokens
from watchbill.runtime.lag import stops_all
from watchbill.signals.commands import create_source
from watchbill.signals.models import Source

log = structlog.get_logger("watchbill.deadman")
#: How long the whole way may take.
PATIENCE = 30.0
MAPPING = {"title": "what", "status": "state", "fingerprint": "run", "resolved": ["over"], "labels": {"run": "run"}}


class Deadman:
    """One worker's rounds; where several run, one of them tests at a time."""

    def __init__(self, url: str, every: float) -> None:
        self.url, self.every, self.last = url, every, 0.0

    def step(self) -> bool:
        """A round, when its time has come. Says nothing was left to do: the loop rests between."""
        if time.monotonic() - self.last < self.every:
            return False
        self.last = time.monotonic()
        try:
            self._round()
            self._nobody_waits()
            fetch("GET", self.url, policy=settings.OUTBOUND.with_url(self.url))
            log.info("deadman.pinged")
        except WatchbillError as error:
            log.error("deadman.failed", reason=error.detail)
        return False

    def _round(self) -> None:
        key, run = self._ready(), uuid.uuid4().hex
        self._post(key, run, "firing")
        self._until(
            lambda: Delivery.objects.filter(
                workspace_id=HUB, method="selftest", page__title__endswith=run, state="sent"
            ).exists(),
            run,
        )
        self._post(key, run, "over")

    def _nobody_waits(self) -> None:
        """The test came through; that others' alerts or pages wait too long for all is a reason, too. What is set aside or quarantined is none."""
        with transaction.atomic():
            if late := stops_all():
                raise Unavailable("; ".join(one.reason for one in late))

    def _ready(self) -> str:
        """The integration and the channel of the test; the key is computed, so that every worker knows it."""
        key = f"wbi_{settings.KEYS.text('deadman')}"
        with transaction.atomic():
            source = Source.objects.filter(workspace_id=HUB, name=NAME, revoked_at=None).first()
            if source is None:
                create_source(
                    by=system("worker"),
                    workspace_id=HUB,
                    protocol="json",
                    name=NAME,
                    config={"mapping": MAPPING},
                    key=key,
                )
            elif bytes(source.key_digest) != tokens.digest(key):
                raise Unavailable(
                    f"The integration “{NAME}” of the hub's workspace has another key; revoke it, and it is made anew."
                )
            if not Channel.objects.filter(workspace_id=HUB, kind="selftest", removed_at=None).exists():
                set_channel(by=system("worker"), workspace_id=HUB, kind="selftest", name=NAME, config={})
        return key

    def _post(self, key: str, run: str, state: str) -> None:
        body = json.dumps({"what": f"{NAME} {run}", "state": state, "run": run}).encode()
        headers = {"Content-Type": "application/json"}
        url = f"{settings.PUBLIC_URL}/intake/{key}/json"
        answer = fetch("POST", url, headers=headers, body=body, policy=settings.OUTBOUND.with_url(url))
        if answer.status != 200:
            raise Unavailable(f"The hub's own intake answered {answer.status}.")

    def _until(self, done: Callable[[], bool], run: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with transaction.atomic():
                if done():
                    return
            time.sleep(0.25)
        raise Unavailable(f"The test alert {run} was not delivered within {PATIENCE:.0f} s.")
