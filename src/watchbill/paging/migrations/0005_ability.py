import django.db.models.deletion
from django.db import migrations, models

# wb_can_page(): what /metrics says of every workspace, so that no principal has to read the tables behind it. A workspace that nobody
# has looked at for two minutes cannot be said to page. A demo is left out: it pages nobody.
CAN_PAGE = """
CREATE FUNCTION wb_can_page() RETURNS TABLE (workspace text, can_page boolean, counts jsonb)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS $$
  SELECT w.slug, a.can_page AND a.looked_at > wb_now() - interval '2 minutes', a.counts
  FROM paging_ability a JOIN people_workspace w ON w.id = a.workspace_id
  WHERE NOT a.demo AND a.looked_at IS NOT NULL ORDER BY w.slug $$;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("people", "0004_browsers_as_contacts"),
        ("paging", "0004_answers"),
    ]

    operations = [
        migrations.CreateModel(
            name="AbilityState",
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
                ("looked_at", models.DateTimeField(null=True)),
                ("can_page", models.BooleanField(default=False)),
                ("demo", models.BooleanField(default=False)),
                (
                    "counts",
                    models.JSONField(default=dict, help_text="code of a reason → how many there are"),
                ),
                ("since", models.JSONField(default=dict, help_text="code of what is broken → since when")),
                (
                    "told_codes",
                    models.JSONField(default=list, help_text="what the admins were told of, until it is over"),
                ),
                ("told_at", models.DateTimeField(null=True)),
            ],
            options={"db_table": "paging_ability"},
        ),
        migrations.RunSQL(CAN_PAGE, "DROP FUNCTION wb_can_page();"),
    ]
