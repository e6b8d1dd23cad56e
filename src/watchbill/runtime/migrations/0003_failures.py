from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("runtime", "0002_jobs")]
    operations = [
        migrations.CreateModel(
            name="Failure",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("unit", models.TextField(help_text="the worker's unit of work: intake, clocks, pages …")),
                ("item", models.TextField(help_text="what failed: an id; empty where the whole unit did")),
                ("error", models.TextField(help_text="the error's type; its text is in the worker's log")),
                ("count", models.IntegerField(default=1, help_text="how often in a row")),
                ("first_at", models.DateTimeField()),
                ("last_at", models.DateTimeField()),
                ("retry_at", models.DateTimeField()),
            ],
            options={
                "db_table": "runtime_failure",
                "constraints": [models.UniqueConstraint(fields=["unit", "item"], name="runtime_failure_once")],
            },
        ),
    ]
