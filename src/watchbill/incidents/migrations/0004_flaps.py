"""Incidents whose alerts end and fire again. Safe: columns with a default."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("incidents", "0003_about"),
    ]

    operations = [
        migrations.AddField(
            model_name="incident",
            name="resolved_from",
            field=models.TextField(
                db_default="", default="", help_text="its state when it was resolved, should it reopen"
            ),
        ),
        migrations.AddField(
            model_name="incident",
            name="flaps",
            field=models.IntegerField(
                db_default=0, default=0, help_text="how often its alerts fired again soon after they had ended"
            ),
        ),
    ]
