"""Escalations, pages, and each message of them. Steps are stamped on a page when it starts; a delivery is a row before it is a message."""

from typing import Any
from uuid import UUID

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce

from watchbill.base.ids import uuid7
from watchbill.people.models import Workspace

_NONE = UUID(int=0)


class Policy(models.Model):
    """An escalation of the live handbook, with its targets as they are bound. Replaced when a handbook is applied or a name bound."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    key = models.TextField(help_text="the item's key in the handbook")
    name = models.TextField()
    names = ArrayField(
        models.TextField(), default=list, help_text="canonical names by which a route or severity calls it"
    )
    state = models.TextField(help_text="live or shadow")
    steps = models.JSONField(default=list, help_text="[{after: seconds, targets: [{kind, id, name, why}]}]")
    repeat = models.IntegerField(default=0)
    otherwise = models.JSONField(default=list, help_text="who hears that nobody could be reached")
    path = models.TextField(default="")
    line = models.IntegerField(default=0)

    class Meta:
        db_table = "paging_policy"
        constraints = [
            models.UniqueConstraint(fields=["workspace", "key"], name="paging_policy_once"),
            models.CheckConstraint(condition=Q(state__in=["live", "shadow"]), name="paging_policy_state"),
        ]

    def stamp(self) -> dict[str, Any]:
        """As a page keeps it."""
        return {
            "key": self.key, "name": self.name, "path": self.path, "line": self.line, "steps": self.steps, "repeat": self.repeat,
            "otherwise": self.otherwise,
        }  # fmt: skip


class Channel(models.Model):
    """A way out that an admin set up: an SMTP server, a Twilio account … Its password lies among the secrets."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    kind = models.TextField(help_text="email, twilio, slack …")
    name = models.TextField()
    config = models.JSONField(default=dict)
    secret = models.TextField(default="", help_text="the name of its secret")
    created_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True)
    last_ok_at = models.DateTimeField(null=True)
    last_problem = models.TextField(default="")
    last_problem_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "paging_channel"
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "name"], name="paging_channel_name_once", condition=Q(removed_at=None)
            )
        ]


class Page(models.Model):
    """Somebody is to know about a subject: which steps, how far it has come, who acknowledged."""

    class State(models.TextChoices):
        RUNNING = "running"
        ACKNOWLEDGED = "acknowledged"
        EXHAUSTED = "exhausted"
        ENDED = "ended"

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    subject_kind = models.TextField()
    subject_id = models.TextField()
    title = models.TextField()
    text = models.TextField(default="")
    url = models.TextField(default="", help_text="its page, within the hub")
    labels = models.JSONField(default=dict, help_text="for silences that begin later")
    urgency = models.TextField(default="high")
    shadow = models.BooleanField(default=False, help_text="records whom it would have paged; nothing goes out")
    policy = models.JSONField(
        default=dict, help_text="key, name, place, steps, repeat, otherwise: as they were when it started"
    )
    why = models.TextField(default="", help_text="why it pages these people")
    state = models.TextField(choices=State.choices, default=State.RUNNING)
    round = models.IntegerField(default=0)
    step = models.IntegerField(default=0, help_text="how many steps of this round have begun")
    next_at = models.DateTimeField(
        null=True, help_text="when the next step begins; none when nothing more happens by itself"
    )
    started_at = models.DateTimeField()
    acknowledged_at = models.DateTimeField(null=True)
    acknowledged_by = models.UUIDField(null=True)
    acknowledged_via = models.TextField(default="")
    exhausted_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    ended_why = models.TextField(default="")
    ended_from = models.TextField(
        default="", db_default="", help_text="its state when it ended, should its subject reopen"
    )
    ended_next_at = models.DateTimeField(null=True, help_text="when its next step would have begun")

    @property
    def once(self) -> bool:
        """Whether it only tells something: nobody has to answer it."""
        return bool(self.policy.get("once"))

    @property
    def can_wait(self) -> bool:
        """Whether its messages go behind those that wake somebody, whatever its urgency."""
        return bool(self.policy.get("can_wait"))

    @property
    def stands(self) -> str:
        """Its state as it is shown: “told” where no answer is waited for."""
        return "told" if self.once and self.state in (self.State.RUNNING, self.State.EXHAUSTED) else self.state

    class Meta:
        db_table = "paging_page"
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["running", "acknowledged", "exhausted", "ended"]), name="paging_page_state"
            ),
            models.CheckConstraint(
                condition=Q(next_at=None) | Q(state="running"), name="paging_page_next_while_running"
            ),
            models.CheckConstraint(condition=Q(urgency__in=["high", "low"]), name="paging_page_urgency"),
            # One page at a time about a subject.
            models.UniqueConstraint(
                fields=["subject_kind", "subject_id", "shadow"], name="paging_page_once", condition=~Q(state="ended")
            ),
        ]
        indexes = [
            # Serves the sweep: which page goes on next.
            models.Index(fields=["next_at"], name="paging_page_sweep", condition=Q(next_at__isnull=False)),
            # Serves a subject's own pages, and the list of pages, newest first.
            models.Index(fields=["workspace", "subject_kind", "subject_id"], name="paging_page_subject"),
            models.Index(fields=["workspace", "-id"], name="paging_page_feed"),
        ]


#: Messages to somebody's contact that were attempted in vain, or whose outcome nobody knows.
VAIN = Q(sent_at=None, attempts__gt=0, contact_id__isnull=False, state__in=["waiting", "failed", "stopped", "unknown"])


class Delivery(models.Model):
    """One message of a page to one target by one method: leased, attempted, sent or failed; or stopped, with the stage that stopped it.

    Unknown is what its sender did not live to say, where it was not tried again: it may have gone out.
    """

    class State(models.TextChoices):
        WAITING = "waiting"
        SENDING = "sending"
        SENT = "sent"
        DELIVERED = "delivered"
        FAILED = "failed"
        STOPPED = "stopped"
        UNKNOWN = "unknown"

    class Priority(models.IntegerChoices):
        """Who goes first (turns.py): critical by a way that works as far as is known, critical, and what can wait."""

        PROVEN = 0
        CRITICAL = 1
        CAN_WAIT = 2

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    page = models.ForeignKey(Page, on_delete=models.PROTECT, related_name="deliveries")
    round = models.IntegerField(default=0)
    step = models.IntegerField(
        help_text="the step it belongs to, from 1; 0 where nobody could be reached; -1: that it is taken or over"
    )
    person_id = models.UUIDField(null=True)
    target = models.TextField(help_text="whom it is for, as a page says it")
    why = models.TextField(default="", help_text="why this person: the name in the runbook, the schedule, the team")
    method = models.TextField(help_text="email, sms, voice, slack, webhook …")
    contact_id = models.UUIDField(null=True, help_text="the person's contact method")
    channel = models.ForeignKey(Channel, on_delete=models.PROTECT, related_name="+", null=True)
    address = models.TextField(
        default="", help_text="an address that stands in a runbook; a person's own stays with the person"
    )
    priority = models.SmallIntegerField(
        default=2, db_default=2, help_text="0: critical, its way works as far as is known; 1: critical; 2: can wait"
    )
    position = models.IntegerField(default=0, help_text="the order of a target's methods: the next one is the fallback")
    state = models.TextField(choices=State.choices, default=State.WAITING)
    stage = models.TextField(default="", help_text="which stage stopped it")
    reason = models.TextField(default="")
    attempts = models.IntegerField(default=0)
    attempted_at = models.DateTimeField(null=True, help_text="when the last attempt began")
    lost = models.IntegerField(null=True, help_text="attempts of which nobody knows what came: their sender ended")
    due_at = models.DateTimeField()
    leased_until = models.DateTimeField(null=True)
    provider_id = models.TextField(default="")
    made_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    done_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "paging_delivery"
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["waiting", "sending", "sent", "delivered", "failed", "stopped", "unknown"]),
                name="paging_delivery_state",
            ),
            models.CheckConstraint(condition=~Q(state="stopped") | ~Q(stage=""), name="paging_delivery_stage"),
            # One message of a step to a target by a method: a step that is begun twice pages once.
            models.UniqueConstraint(
                fields=["page", "round", "step", "target", "method", "contact_id", "address"],
                name="paging_delivery_once",
                nulls_distinct=False,
            ),
        ]
        indexes = [
            # Serves the senders: what is due, the oldest first.
            models.Index(fields=["due_at"], name="paging_delivery_due", condition=Q(state__in=["waiting", "sending"])),
            # Serves the senders, too: the head of each queue, and what is under way (turns.py).
            models.Index(
                F("priority"),
                F("workspace"),
                Coalesce("channel", Value(_NONE)),
                Coalesce("person_id", Value(_NONE)),
                F("due_at"),
                F("id"),
                name="paging_delivery_turn",
                condition=Q(state="waiting"),
            ),
            models.Index(fields=["leased_until"], name="paging_delivery_held", condition=Q(state="sending")),
            # Serves a page's history.
            models.Index(fields=["page", "id"], name="paging_delivery_page"),
            # Serves the limit of messages a minute.
            models.Index(
                fields=["contact_id", "-sent_at"], name="paging_delivery_recent", condition=Q(sent_at__isnull=False)
            ),
            # Serves the question which contacts failed since they last took a message (turns.py).
            models.Index(fields=["contact_id", "-attempted_at"], name="paging_delivery_vain", condition=VAIN),
            # Serves receipts.
            models.Index(fields=["provider_id"], name="paging_delivery_receipt", condition=~Q(provider_id="")),
        ]


class Reply(models.Model):
    """The key in a message's address: who holds it may acknowledge or escalate this page as this person, and nothing else."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    delivery = models.ForeignKey(Delivery, on_delete=models.PROTECT, related_name="+")
    person_id = models.UUIDField(null=True, help_text="none where the message went to an address that is nobody's own")
    digest = models.BinaryField(unique=True)
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "paging_reply"


class PageEvent(models.Model):
    """One line of a page's history."""

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    page = models.ForeignKey(Page, on_delete=models.PROTECT, related_name="events")
    at = models.DateTimeField()
    what = models.TextField()
    why = models.TextField(default="")
    by = models.UUIDField(null=True)

    class Meta:
        db_table = "paging_event"
        # Serves a page's history.
        indexes = [models.Index(fields=["page", "id"], name="paging_event_history")]


class Habit(models.Model):
    """How a person wants to be paged in a workspace: methods in order with delays, by urgency; quiet hours."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    person_id = models.UUIDField()
    urgency = models.TextField()
    steps = models.JSONField(default=list, help_text="[{method, contact_id, delay: seconds}]")
    quiet = models.JSONField(default=dict, help_text="{start, end, zone}: low urgency waits; empty: never")

    class Meta:
        db_table = "paging_habit"
        constraints = [
            models.UniqueConstraint(fields=["workspace", "person_id", "urgency"], name="paging_habit_once"),
            models.CheckConstraint(condition=Q(urgency__in=["high", "low"]), name="paging_habit_urgency"),
        ]


class TextsStopped(models.Model):
    """Somebody answered STOP from their number: the carrier delivers no text from this workspace to it until START is answered."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    person_id = models.UUIDField()
    contact_id = models.UUIDField()
    at = models.DateTimeField()

    class Meta:
        db_table = "paging_texts_stopped"
        constraints = [models.UniqueConstraint(fields=["workspace", "contact_id"], name="paging_texts_stopped_once")]


class NoticesOff(models.Model):
    """A person does not want to hear that what they were paged for is taken or over. Without a row they hear it."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    person_id = models.UUIDField()

    class Meta:
        db_table = "paging_notices_off"
        constraints = [models.UniqueConstraint(fields=["workspace", "person_id"], name="paging_notices_off_once")]


class Verification(models.Model):
    """A code was sent to a contact, to see that its owner reads it. The code itself is computed, never kept."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    contact_id = models.UUIDField(unique=True)
    made_at = models.DateTimeField()
    tries = models.IntegerField(default=0)

    class Meta:
        db_table = "paging_verification"


class Press(models.Model):
    """A button that was pressed in a message, or an answer by text message, as it came; its body goes when it was carried out."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    kind = models.TextField(default="slack", db_default="slack", help_text="slack or twilio")
    body = models.BinaryField()
    timestamp = models.TextField(default="", db_default="", help_text="when it was signed; Twilio says none")
    path = models.TextField(
        default="", db_default="", help_text="where it came to, for Twilio's signature; goes with the body"
    )
    signature = models.TextField()
    mark = models.TextField(
        default="", db_default="", help_text="the provider's number: what comes twice is carried out once"
    )
    at = models.DateTimeField()
    done_at = models.DateTimeField(null=True)
    problem = models.TextField(default="")

    class Meta:
        db_table = "paging_press"


class AbilityState(models.Model):
    """What the last look at “Can this hub page?” found in a workspace: for the metrics, and so that the same is told once."""

    workspace = models.OneToOneField(Workspace, on_delete=models.PROTECT, related_name="+", primary_key=True)
    looked_at = models.DateTimeField(null=True)
    can_page = models.BooleanField(default=False)
    demo = models.BooleanField(default=False)
    counts = models.JSONField(default=dict, help_text="code of a reason → how many there are")
    since = models.JSONField(default=dict, help_text="code of what is broken → since when")
    told_codes = models.JSONField(default=list, help_text="what the admins were told of, until it is over")
    told_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "paging_ability"


class Announcement(models.Model):
    """Something that a command made quieter without a second person: who hears of it, and how it is undone."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField()
    by = models.UUIDField(help_text="who did it, as the ledger names them")
    command = models.TextField()
    words = models.TextField(help_text="a sentence; {0}, {1} … are the names of `people`")
    people = ArrayField(models.UUIDField(), default=list)
    loses = ArrayField(models.UUIDField(), default=list, help_text="whom it takes a page from")
    hears = ArrayField(models.UUIDField(), default=list, help_text="who is told: as it was when it was done")
    undo = models.JSONField(
        default=dict, help_text="{command, values}: what undoes it; empty where nothing in the hub does"
    )
    sent_at = models.DateTimeField(null=True, help_text="when the others were told")
    undone_at = models.DateTimeField(null=True)
    undone_by = models.UUIDField(null=True)

    class Meta:
        db_table = "paging_announcement"
        indexes = [
            # Serves the sweep: what nobody was told yet.
            models.Index(fields=["at"], name="paging_announcement_due", condition=Q(sent_at=None)),
            # Serves the page, newest first.
            models.Index(fields=["workspace", "-at"], name="paging_announcement_feed"),
        ]
