from django.db import migrations, models

# What waits while the hub is upgraded: as a new message of the same page would be, short of what was sent before.
WAITING = """
UPDATE paging_delivery d SET priority = 1 FROM paging_page p
WHERE p.id = d.page_id AND d.state IN ('waiting', 'sending') AND d.stage = ''
    AND p.urgency = 'high' AND p.subject_kind NOT IN ('test', 'contact', 'draft', 'silence')
"""


class Migration(migrations.Migration):
    dependencies = [
        ("paging", "0007_resumed"),
    ]

    operations = [
        migrations.AddField(
            model_name="delivery",
            name="priority",
            field=models.SmallIntegerField(
                db_default=2,
                default=2,
                help_text="0: critical, its way works as far as is known; 1: critical; 2: can wait",
            ),
        ),
        migrations.RunSQL(WAITING, migrations.RunSQL.noop),
    ]
