from importlib import import_module

from django.db import migrations

# What waits because its own person, workspace or channel holds as many senders as one may (paging/turns.py) is not late: whoever has endpoints
# that drip would else stop the dead man's switch. The numbers are those of 16 senders.
HELD = """WITH held AS (SELECT workspace_id, channel_id, person_id, priority FROM paging_delivery WHERE state = 'sending' AND leased_until > wb_now()),
  aside AS"""
OWN = """d.leased_until <= wb_now())
      AND (d.state = 'sending' OR NOT (
        (d.person_id IS NOT NULL AND d.person_id IN (SELECT person_id FROM held WHERE person_id IS NOT NULL))
        OR d.workspace_id IN (SELECT workspace_id FROM held GROUP BY workspace_id HAVING count(*) >= 8)
        OR (d.channel_id IS NOT NULL AND d.channel_id IN (SELECT channel_id FROM held GROUP BY channel_id HAVING count(*) >= 8))
        OR (d.priority >= 2 AND (SELECT count(*) FROM held WHERE priority >= 2) >= 12)
        OR (d.priority + least(d.attempts, 1) >= 1 AND (SELECT count(*) FROM held WHERE priority >= 1) >= 14)))"""
BEFORE = import_module("watchbill.runtime.migrations.0004_lag").LAG.replace(
    "CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"
)
AFTER = BEFORE.replace("WITH aside AS", HELD, 1).replace("d.leased_until <= wb_now())", OWN, 1)


class Migration(migrations.Migration):
    dependencies = [
        ("runtime", "0004_lag"),
        ("paging", "0008_turns"),
    ]
    operations = [migrations.RunSQL(AFTER, BEFORE)]
