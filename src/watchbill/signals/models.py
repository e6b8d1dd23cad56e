"""Where alerts come from, what came, and what is firing. Alerts are observations: durable, but no ledger entries."""

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q, Value

from watchbill.base.ids import uuid7
from watchbill.people.models import Workspace

#: What the release before this one writes: it knows nothing of the column.
_NOTHING = Value({}, output_field=models.JSONField())


class Source(models.Model):
    """A sender with a key of its own: hashed, shown once, replaced or revoked."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    protocol = models.TextField()
    name = models.TextField()
    key_digest = models.BinaryField(unique=True, help_text="SHA-256 of the key, which has 256 random bits")
    key_prefix = models.TextField(help_text="the first characters, to recognise it by")
    created_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True)
    last_received_at = models.DateTimeField(null=True)
    last_problem = models.TextField(default="")
    last_problem_at = models.DateTimeField(null=True)
    config = models.JSONField(default=dict, db_default=_NOTHING, help_text="the mapping of generic JSON")

    class Meta:
        db_table = "signals_source"
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "name"], name="signals_source_name_once", condition=Q(revoked_at=None)
            )
        ]


class Arrival(models.Model):
    """What came, as it came, until it is understood: the inbox. What cannot be understood stays, with the reason."""

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="arrivals")
    received_at = models.DateTimeField()
    body = models.BinaryField()
    problem = models.TextField(null=True, help_text="why it could not be understood; none while it waits")
    error = models.TextField(
        default="", db_default="", help_text="the type of the error; empty where its sender is to correct it"
    )
    problem_at = models.DateTimeField(null=True, help_text="when it was quarantined")

    class Meta:
        db_table = "signals_arrival"
        indexes = [
            # Serves the worker: what waits, in the order in which it came.
            models.Index(fields=["id"], name="signals_arrival_waiting", condition=Q(problem=None)),
            # Serves the integration's page: what could not be understood.
            models.Index(fields=["source", "-id"], name="signals_arrival_problem", condition=Q(problem__isnull=False)),
        ]


class Route(models.Model):
    """A route of the live handbook. Replaced as a whole when a handbook is applied; groups carry what was true when they opened."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    key = models.TextField(help_text="the item's key in the handbook")
    position = models.IntegerField(help_text="the first that fits takes an alert")
    name = models.TextField()
    state = models.TextField(help_text="live or shadow")
    match = ArrayField(models.TextField(), default=list)
    severity = models.TextField(default="")
    pages = models.TextField(default="", help_text="an escalation or contact, as the handbook names it")
    group_by = ArrayField(models.TextField(), default=list)
    reason = models.TextField(default="", db_default="", help_text="why it pages nobody, where it says so")
    reopen_within = models.IntegerField(
        null=True, help_text="seconds in which alerts that fire again reopen what was over; none: the product's default"
    )
    path = models.TextField()
    line = models.IntegerField()

    class Meta:
        db_table = "signals_route"
        constraints = [
            models.UniqueConstraint(fields=["workspace", "key"], name="signals_route_once"),
            models.CheckConstraint(condition=Q(state__in=["live", "shadow"]), name="signals_route_state"),
        ]


class Unrouted(models.Model):
    """What the live handbook says about alerts that no route takes; without a row the product's default holds."""

    workspace = models.OneToOneField(Workspace, on_delete=models.PROTECT, primary_key=True, related_name="+")
    pages = models.TextField(default="admins", help_text="admins, nobody, or the name of an escalation or contact")
    reason = models.TextField(default="", help_text="why nobody is paged")
    quiet = ArrayField(models.TextField(), default=list, help_text="severities that never page")
    revision = models.IntegerField(help_text="of the handbook whose routes these are")
    path = models.TextField(default="")
    line = models.IntegerField(default=0)

    class Meta:
        db_table = "signals_unrouted"


class Group(models.Model):
    """Alerts that belong together. One open group per key and workspace, held by the database."""

    class State(models.TextChoices):
        OPEN = "open"
        RESOLVED = "resolved"

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="+")
    key = models.TextField()
    title = models.TextField()
    labels = models.JSONField(default=dict, help_text="what its alerts have in common")
    severity = models.TextField(default="", help_text="as the sender says it")
    route = models.JSONField(
        default=dict, db_default=_NOTHING, help_text="the route that took it, as it was then; empty where none fits"
    )
    shadow = models.JSONField(default=dict, db_default=_NOTHING, help_text="the shadow route that would have taken it")
    held_until = models.DateTimeField(null=True, help_text="a silence holds back whom it would page until then")
    looked = models.IntegerField(
        null=True, help_text="while it pages nobody: the revision whose routes were asked last"
    )
    told_id = models.UUIDField(null=True, help_text="the page by which the admins heard that it pages nobody")
    state = models.TextField(choices=State.choices, default=State.OPEN)
    firing = models.IntegerField(default=0)
    reopened = models.IntegerField(default=0, db_default=0, help_text="how often it fired again soon after it was over")
    opened_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    resolved_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "signals_group"
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "key"], name="signals_group_open_once", condition=Q(state="open")
            ),
            models.CheckConstraint(
                condition=Q(state="open", resolved_at=None) | Q(state="resolved", resolved_at__isnull=False),
                name="signals_group_state",
            ),
        ]
        indexes = [
            # Serves the alerts page: open ones first, the newest change first.
            models.Index(fields=["workspace", "state", "-changed_at"], name="signals_group_list"),
            # Serves what fires and pages nobody, and the look at it again when a handbook is applied.
            models.Index(
                fields=["workspace"],
                name="signals_group_unpaged",
                condition=Q(state="open") & (Q(route={}) | Q(route__has_key="nobody")),
            ),
            # Serves intake: whether what fires was over only a moment ago.
            models.Index(
                fields=["workspace", "key", "resolved_at"], name="signals_group_over", condition=Q(state="resolved")
            ),
            # Serves the sweep of what silences hold back.
            models.Index(fields=["held_until"], name="signals_group_held", condition=Q(held_until__isnull=False)),
        ]


class Alert(models.Model):
    """One alert, deduplicated by its fingerprint. ``arrival`` guards against what comes out of order."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="+")
    group = models.ForeignKey(Group, on_delete=models.PROTECT, related_name="alerts")
    fingerprint = models.TextField()
    labels = models.JSONField(default=dict)
    annotations = models.JSONField(default=dict)
    url = models.TextField(default="")
    firing = models.BooleanField()
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(
        null=True, help_text="it is over then, unless the sender says again that it fires"
    )
    arrival = models.BigIntegerField(help_text="the number of what said so last")
    seen_at = models.DateTimeField()
    heard = models.JSONField(null=True, help_text="what its senders said last (state.py); none where they say no start")
    hold_until = models.DateTimeField(
        null=True, help_text="a report of firing right after its end is believed then, unless it ends again"
    )

    class Meta:
        db_table = "signals_alert"
        constraints = [models.UniqueConstraint(fields=["source", "fingerprint"], name="signals_alert_once")]
        indexes = [
            # Serves the sweep of what its sender forgot.
            models.Index(
                fields=["expires_at"], name="signals_alert_expires", condition=Q(firing=True, expires_at__isnull=False)
            ),
            # Serves the sweep of what is held back.
            models.Index(fields=["hold_until"], name="signals_alert_held", condition=Q(hold_until__isnull=False)),
            # Serves filters by label: the groups of what fires, without the alerts themselves.
            models.Index(
                fields=["workspace", "id"], include=["group"], name="signals_alert_firing", condition=Q(firing=True)
            ),
        ]


class Label(models.Model):
    """A label of an alert as a row: what a list is filtered by. Derived from the alert, which has its labels whole."""

    #: Serves filters: the alerts that have a label, and which values it has.
    pk = models.CompositePrimaryKey("workspace_id", "name", "value", "alert_id")
    # No constraints to the alert and workspace: the rows are written with the alert's own, thousands at a time.
    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="+", db_constraint=False, db_index=False)
    workspace = models.ForeignKey(
        Workspace, on_delete=models.PROTECT, related_name="+", db_constraint=False, db_index=False
    )
    name = models.TextField()
    value = models.TextField(help_text="its first 400 characters")

    class Meta:
        db_table = "signals_label"


class GroupEvent(models.Model):
    """One line of a group's history: what happened, when, and why."""

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    group = models.ForeignKey(Group, on_delete=models.CASCADE, related_name="events")
    at = models.DateTimeField()
    what = models.TextField()
    why = models.TextField(default="")

    class Meta:
        db_table = "signals_group_event"
        # Serves a group's page.
        indexes = [models.Index(fields=["group", "-id"], name="signals_group_history")]


class Silence(models.Model):
    """Alerts that fit are held back from paging for some time: who said so, why, until when. It may come again every day or week."""

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    match = ArrayField(models.TextField())
    reason = models.TextField()
    maintenance = models.BooleanField(default=False, help_text="planned work, rather than noise")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    every = models.TextField(default="", help_text="day or week: it comes again at the same local time; empty: once")
    zone = models.TextField(default="UTC")
    until = models.DateTimeField(null=True, help_text="when it stops coming again; none: when it is ended")
    made_by = models.UUIDField()
    made_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    ended_by = models.UUIDField(null=True)
    reminded_at = models.DateTimeField(null=True, help_text="its author was told that it ends soon")

    class Meta:
        db_table = "signals_silence"
        constraints = [
            models.CheckConstraint(condition=Q(ends_at__gt=models.F("starts_at")), name="signals_silence_order"),
            models.CheckConstraint(condition=Q(every__in=["", "day", "week"]), name="signals_silence_every"),
        ]
        # Serves what asks whether an alert is silenced.
        indexes = [models.Index(fields=["workspace"], name="signals_silence_current", condition=Q(ended_at=None))]


class Check(models.Model):
    """A job that is to ping in time: every so often, or by a cron line; what is late or failed is an alert."""

    class State(models.TextChoices):
        NEW = "new"
        UP = "up"
        DOWN = "down"

    id = models.UUIDField(primary_key=True, default=uuid7)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    source = models.ForeignKey(Source, on_delete=models.PROTECT, related_name="checks")
    slug = models.TextField()
    name = models.TextField()
    digest = models.BinaryField(
        unique=True, help_text="SHA-256 of its address's UUID, which is computed from the hub's key"
    )
    period = models.IntegerField(default=86400, help_text="seconds")
    cron = models.TextField(default="", help_text="five fields; instead of the period")
    zone = models.TextField(default="UTC")
    grace = models.IntegerField(default=3600, help_text="seconds beyond, and how long a run may take")
    severity = models.TextField(default="warning", help_text="the label of its alert")
    state = models.TextField(choices=State.choices, default=State.NEW)
    last_ping_at = models.DateTimeField(null=True)
    last_start_at = models.DateTimeField(null=True)
    last_duration = models.FloatField(null=True, help_text="seconds")
    run = models.TextField(default="", help_text="the run id that was started last")
    runs = models.JSONField(
        null=True, help_text="what was started and has not ended: run, at, late (since when that is reported)"
    )
    next_at = models.DateTimeField(null=True, help_text="when it is missing if nothing comes")
    changed_at = models.DateTimeField(
        null=True, help_text="when its schedule was changed: the next ping is due from then on"
    )
    problem = models.TextField(
        default="", db_default="", help_text="why it is stopped: its schedule can never come due"
    )
    announced_at = models.DateTimeField(null=True, help_text="when the admins were told that it is stopped")
    created_at = models.DateTimeField()
    removed_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "signals_check"
        constraints = [
            models.UniqueConstraint(
                fields=["source", "slug"], name="signals_check_slug_once", condition=Q(removed_at=None)
            ),
            models.CheckConstraint(condition=Q(period__gte=60) & Q(grace__gte=60), name="signals_check_minute"),
        ]
        indexes = [
            # Serves the sweep: what is missing next.
            models.Index(fields=["next_at"], name="signals_check_next", condition=Q(next_at__isnull=False)),
            # Serves the sweep: what is stopped and was not told to anybody yet.
            models.Index(
                fields=["id"],
                name="signals_check_stopped",
                condition=Q(problem__gt="", announced_at=None, removed_at=None),
            ),
        ]

    @property
    def shown_state(self) -> str:
        """Its state as people see it: one whose schedule can never come due is stopped, whatever came last."""
        return "stopped" if self.problem else str(self.state)


class Ping(models.Model):
    """One ping, with its body as evidence."""

    id = models.BigAutoField(primary_key=True)
    workspace = models.ForeignKey(Workspace, on_delete=models.PROTECT, related_name="+")
    to = models.ForeignKey(Check, on_delete=models.PROTECT, related_name="pings", db_column="check_id")
    at = models.DateTimeField()
    action = models.TextField(help_text="success, start, fail, log")
    exit_status = models.IntegerField(null=True)
    run = models.TextField(default="")
    method = models.TextField()
    agent = models.TextField(default="")
    body = models.BinaryField(default=bytes)
    size = models.IntegerField(default=0)

    class Meta:
        db_table = "signals_ping"
        # Serves a check's last pings.
        indexes = [models.Index(fields=["to", "-id"], name="signals_ping_latest")]
