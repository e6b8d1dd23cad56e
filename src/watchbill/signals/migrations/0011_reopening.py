"""Groups that fire again soon after they were over. Safe: nullable or with a default; the index is built beside the running hub."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [
        ("signals", "0010_what_pages_nobody"),
    ]

    operations = [
        migrations.AddField(
            model_name="route",
            name="reopen_within",
            field=models.IntegerField(
                help_text="seconds in which alerts that fire again reopen what was over; none: the product's default",
                null=True,
            ),
        ),
        migrations.AddField(
            model_name="group",
            name="reopened",
            field=models.IntegerField(
                db_default=0, default=0, help_text="how often it fired again soon after it was over"
            ),
        ),
        AddIndexConcurrently(
            model_name="group",
            index=models.Index(
                condition=models.Q(("state", "resolved")),
                fields=["workspace", "key", "resolved_at"],
                name="signals_group_over",
            ),
        ),
    ]
