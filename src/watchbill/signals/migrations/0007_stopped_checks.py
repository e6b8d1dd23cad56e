"""Checks whose schedule can never come due are found, and stopped: one of them stopped the whole intake. The worker says so to the admins."""

from typing import Any

from django.db import migrations, models

from watchbill.base.cron import problem


def stop(apps: Any, schema_editor: Any) -> None:
    """Whatever is stored: what cannot be read counts as what can never come due."""
    checks = apps.get_model("signals", "Check").objects
    for number, line in list(checks.exclude(cron="").filter(removed_at=None).values_list("id", "cron")):
        try:
            why = problem(line)
        except Exception:  # the migration must not fail for one line
            why = f"“{line[:60]}” cannot be read."
        if why:
            # A run that was begun and does not end is still noticed, by what its next ping says.
            checks.filter(id=number).update(problem=why, next_at=None)


class Migration(migrations.Migration):
    dependencies = [
        ("signals", "0006_what_senders_said"),
    ]

    operations = [
        migrations.AddField(
            model_name="check",
            name="changed_at",
            field=models.DateTimeField(
                help_text="when its schedule was changed: the next ping is due from then on", null=True
            ),
        ),
        migrations.AddField(
            model_name="check",
            name="problem",
            field=models.TextField(
                db_default="", default="", help_text="why it is stopped: its schedule can never come due"
            ),
        ),
        migrations.AddField(
            model_name="check",
            name="announced_at",
            field=models.DateTimeField(help_text="when the admins were told that it is stopped", null=True),
        ),
        migrations.AddIndex(
            model_name="check",
            index=models.Index(
                condition=models.Q(("announced_at", None), ("problem__gt", ""), ("removed_at", None)),
                fields=["id"],
                name="signals_check_stopped",
            ),
        ),
        migrations.RunPython(stop, migrations.RunPython.noop, elidable=True),
    ]
