"""Which adapter reads which protocol."""

from watchbill.intake.alertmanager import adapter as alertmanager
from watchbill.signals.commands import Adapter

ADAPTERS: dict[str, Adapter] = {"alertmanager": alertmanager.read}
