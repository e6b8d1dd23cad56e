"""Which adapter reads which protocol."""

from watchbill.intake.alertmanager import adapter as alertmanager
from watchbill.intake.generic import adapter as generic
from watchbill.intake.pagerduty import adapter as pagerduty
from watchbill.intake.prometheus import adapter as prometheus
from watchbill.intake.slack import adapter as slack
from watchbill.intake.twilio import adapter as twilio
from watchbill.signals.commands import Adapter

#: Grafana's webhook is a superset of Alertmanager's. Pings are read by `signals/checks.py`, which knows when the next one is due.
ADAPTERS: dict[str, Adapter] = {
    "alertmanager": alertmanager.read,
    "grafana": alertmanager.read,
    "prometheus": prometheus.read,
    "pagerduty": pagerduty.read,
    "json": generic.read,
    "slack": slack.read,
    "twilio": twilio.read,
}
