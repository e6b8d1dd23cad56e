import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("people", "0004_browsers_as_contacts"),
        ("signals", "0008_quarantine"),
    ]

    operations = [
        migrations.CreateModel(
            name="Unrouted",
            fields=[
                (
                    "workspace",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="people.workspace",
                    ),
                ),
                (
                    "pages",
                    models.TextField(
                        default="admins", help_text="admins, nobody, or the name of an escalation or contact"
                    ),
                ),
                ("reason", models.TextField(default="", help_text="why nobody is paged")),
                (
                    "quiet",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(),
                        default=list,
                        help_text="severities that never page",
                        size=None,
                    ),
                ),
                ("revision", models.IntegerField(help_text="of the handbook whose routes these are")),
                ("path", models.TextField(default="")),
                ("line", models.IntegerField(default=0)),
            ],
            options={"db_table": "signals_unrouted"},
        ),
        migrations.AddField(
            model_name="route",
            name="reason",
            field=models.TextField(db_default="", default="", help_text="why it pages nobody, where it says so"),
        ),
        migrations.AddField(
            model_name="group",
            name="looked",
            field=models.IntegerField(
                help_text="while it pages nobody: the revision whose routes were asked last", null=True
            ),
        ),
        migrations.AddField(
            model_name="group",
            name="told_id",
            field=models.UUIDField(help_text="the page by which the admins heard that it pages nobody", null=True),
        ),
        # A route that says nobody was a decision: the groups that it took are marked so, and looked at again when a handbook is applied.
        migrations.RunSQL(
            'UPDATE signals_group SET route = route || \'{"nobody": "the route says so"}\'::jsonb '
            "WHERE state = 'open' AND lower(route->>'pages') = 'nobody'",
            migrations.RunSQL.noop,
        ),
    ]
