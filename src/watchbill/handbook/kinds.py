"""All kinds of items, with their models: what explicit items may be, and the JSON Schemas."""

from watchbill.backups.spec import Backup
from watchbill.cadence.spec import Duty
from watchbill.changes.spec import ChangePolicy
from watchbill.gates.spec import Gate
from watchbill.handbook.spec import Metadata, Reference, Template
from watchbill.improvement.spec import Backlog
from watchbill.incidents.spec import Severity
from watchbill.language.items import Item
from watchbill.objectives.spec import BudgetPolicy, Objective, Threshold
from watchbill.oncall.spec import Rota
from watchbill.paging.spec import Escalation
from watchbill.people.spec import Contact, Role
from watchbill.runbooks.spec import AlertRunbook, Procedure, Troubleshooting
from watchbill.signals.spec import Route
from watchbill.support.spec import Sla

KINDS: dict[str, type[Item]] = {
    "severity": Severity,
    "contact": Contact,
    "rota": Rota,
    "route": Route,
    "escalation": Escalation,
    "duty": Duty,
    "sla": Sla,
    "backup": Backup,
    "objective": Objective,
    "threshold": Threshold,
    "budget-policy": BudgetPolicy,
    "troubleshooting": Troubleshooting,
    "role": Role,
    "change-policy": ChangePolicy,
    "gate": Gate,
    "backlog": Backlog,
    "procedure": Procedure,
    "alert-runbook": AlertRunbook,
    "metadata": Metadata,
    "template": Template,
    "reference": Reference,
}
#: What a block can be beside an item's kind.
OTHERS = ("explicit", "history", "ignored")
#: What will enforce an explicit item of a kind that is not one of the nine.
LATER = {
    "backup": "B1",
    "objective": "O2",
    "threshold": "O1",
    "budget-policy": "C7",
    "change-policy": "C1",
    "gate": "E6",
    "backlog": "M1",
    "template": "H3",
    "reference": "H1",
}
NOW = {
    "severity": "I4",
    "contact": "I2",
    "rota": "I1",
    "route": "S2",
    "escalation": "I2",
    "duty": "D1",
    "sla": "T1",
    "troubleshooting": "H7",
    "role": "H8",
    "procedure": "A3",
    "alert-runbook": "H7",
    "metadata": "H5",
}
#: Kinds that a feature of this hub acts on once they are live; features add theirs as they arrive.
#: Guided diagnosis leads through the first two; alerts are routed, incidents opened with their clocks, and people paged by the others.
ENFORCED = {"troubleshooting", "alert-runbook", "severity", "contact", "rota", "route", "escalation"}
