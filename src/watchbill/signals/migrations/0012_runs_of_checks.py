"""Runs of a check that have not ended, each by its id. Safe: one nullable column; what was started before is read from the old ones."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("signals", "0011_reopening"),
    ]

    operations = [
        migrations.AddField(
            model_name="check",
            name="runs",
            field=models.JSONField(
                help_text="what was started and has not ended: run, at, late (since when that is reported)", null=True
            ),
        ),
    ]
