import django.db.models.deletion
from django.db import migrations, models

import watchbill.base.ids


class Migration(migrations.Migration):
    dependencies = [
        ("paging", "0009_turn_indexes"),
        ("people", "0004_browsers_as_contacts"),
    ]

    operations = [
        migrations.CreateModel(
            name="TextsStopped",
            fields=[
                ("id", models.UUIDField(default=watchbill.base.ids.uuid7, primary_key=True, serialize=False)),
                ("person_id", models.UUIDField()),
                ("contact_id", models.UUIDField()),
                ("at", models.DateTimeField()),
                (
                    "workspace",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="people.workspace"
                    ),
                ),
            ],
            options={
                "db_table": "paging_texts_stopped",
                "constraints": [
                    models.UniqueConstraint(fields=("workspace", "contact_id"), name="paging_texts_stopped_once")
                ],
            },
        ),
    ]
