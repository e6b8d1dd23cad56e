"""What the senders of an alert said last. Safe: nullable columns, filled as alerts are heard of again; the index is built beside the running hub."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("signals", "0005_labels_of_what_fires")]

    operations = [
        migrations.AddField(
            model_name="alert",
            name="heard",
            field=models.JSONField(
                help_text="what its senders said last (state.py); none where they say no start", null=True
            ),
        ),
        migrations.AddField(
            model_name="alert",
            name="hold_until",
            field=models.DateTimeField(
                help_text="a report of firing right after its end is believed then, unless it ends again", null=True
            ),
        ),
        AddIndexConcurrently(
            model_name="alert",
            index=models.Index(
                condition=models.Q(("hold_until__isnull", False)), fields=["hold_until"], name="signals_alert_held"
            ),
        ),
    ]
