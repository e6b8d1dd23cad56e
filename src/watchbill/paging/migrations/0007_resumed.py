"""Pages that go on after their subject was over for a moment. Safe: columns with a default, or nullable."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("paging", "0006_notices_off"),
    ]

    operations = [
        migrations.AddField(
            model_name="page",
            name="ended_from",
            field=models.TextField(
                db_default="", default="", help_text="its state when it ended, should its subject reopen"
            ),
        ),
        migrations.AddField(
            model_name="page",
            name="ended_next_at",
            field=models.DateTimeField(help_text="when its next step would have begun", null=True),
        ),
    ]
