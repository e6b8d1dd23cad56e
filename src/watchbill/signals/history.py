"""The history of a group: a line at a time, and open pages hear of it. What a batch of arrivals says is written with it (`batch.py`)."""

from watchbill.runtime.live import tell_live
from watchbill.runtime.now import now
from watchbill.signals.models import Group, GroupEvent


def say(group: Group, what: str, why: str) -> None:
    """Adds a line: what happened to a group, and why."""
    GroupEvent(workspace_id=group.workspace_id, group=group, at=now(), what=what, why=why).save(force_insert=True)
    tell_live(group.workspace_id, "alerts")
