from importlib import import_module

from django.db import migrations

# wb_due_deliveries(): which messages are due and wait for a sender, how many, and for how long the oldest has: critical ones (“delivery”, priority 0
# and 1) and those that can wait (“low_delivery”). It alone says so: wb_lag() asks it for the whole hub (NULL), “Can this hub page?” for a workspace.
# What waits because its own person, workspace or channel holds as many senders as one may is not late, nor is what was set aside. The numbers are
# those of paging/turns.py; a test compares them.
DUE = """
CREATE FUNCTION wb_due_deliveries(workspace uuid) RETURNS TABLE (kind text, count bigint, age interval, why text)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS $$
  WITH held AS MATERIALIZED (
    SELECT workspace_id, channel_id, person_id, priority FROM paging_delivery WHERE state = 'sending' AND leased_until > wb_now()),
  aside AS MATERIALIZED (SELECT item FROM runtime_failure WHERE unit = 'deliveries' AND last_at > wb_now() - interval '10 minutes'),
  full_persons AS MATERIALIZED (SELECT person_id FROM held WHERE person_id IS NOT NULL GROUP BY 1 HAVING count(*) >= 1),
  full_workspaces AS MATERIALIZED (SELECT workspace_id FROM held GROUP BY 1 HAVING count(*) >= 8),
  full_channels AS MATERIALIZED (SELECT channel_id FROM held WHERE channel_id IS NOT NULL GROUP BY 1 HAVING count(*) >= 8),
  room AS MATERIALIZED (
    SELECT count(*) FILTER (WHERE priority >= 2) >= 12 AS no_low, count(*) FILTER (WHERE priority >= 1) >= 14 AS no_unproven FROM held),
  due AS (
    SELECT k.kind, d.due_at, d.method FROM (VALUES ('delivery', 0, 1), ('low_delivery', 2, 32767)) AS k (kind, first, last)
    CROSS JOIN LATERAL (
      SELECT d.due_at, d.method FROM paging_delivery d CROSS JOIN room
      WHERE d.state = 'waiting' AND d.due_at <= wb_now() AND d.priority BETWEEN k.first AND k.last
        AND (workspace IS NULL OR d.workspace_id = workspace)
        AND NOT EXISTS (SELECT FROM aside WHERE item = d.id::text)
        AND NOT EXISTS (SELECT FROM full_persons f WHERE f.person_id = d.person_id)
        AND NOT EXISTS (SELECT FROM full_workspaces f WHERE f.workspace_id = d.workspace_id)
        AND NOT EXISTS (SELECT FROM full_channels f WHERE f.channel_id = d.channel_id)
        AND NOT (d.priority >= 2 AND room.no_low) AND NOT (d.priority + least(d.attempts, 1) >= 1 AND room.no_unproven)
      ORDER BY d.due_at LIMIT 10001) d
    UNION ALL
    SELECT k.kind, d.due_at, d.method FROM (VALUES ('delivery', 0, 1), ('low_delivery', 2, 32767)) AS k (kind, first, last)
    JOIN paging_delivery d ON d.state = 'sending' AND d.leased_until <= wb_now() AND d.priority BETWEEN k.first AND k.last
      AND (workspace IS NULL OR d.workspace_id = workspace)
    WHERE NOT EXISTS (SELECT FROM aside WHERE item = d.id::text))
  SELECT due.kind, count(*), wb_now() - min(due.due_at), (array_agg(due.method ORDER BY due.due_at))[1] FROM due GROUP BY due.kind $$;
"""
BEFORE = import_module("watchbill.runtime.migrations.0005_lag_by_turns").AFTER
_BEGIN, _END = "  deliveries AS (", "  pages AS ("
_OLD = """SELECT 'delivery', (SELECT count(*) FROM deliveries), wb_now() - due_at, method FROM (SELECT * FROM deliveries ORDER BY due_at LIMIT 1) t"""
_HELD = import_module("watchbill.runtime.migrations.0005_lag_by_turns").HELD
AFTER = BEFORE[: BEFORE.index(_BEGIN)] + BEFORE[BEFORE.index(_END) :]
AFTER = AFTER.replace(_HELD, "WITH aside AS", 1).replace(_OLD, "SELECT * FROM wb_due_deliveries(NULL)", 1)


class Migration(migrations.Migration):
    dependencies = [
        ("runtime", "0005_lag_by_turns"),
        ("paging", "0008_turns"),
    ]
    operations = [
        migrations.RunSQL(DUE, "DROP FUNCTION wb_due_deliveries(uuid);"),
        migrations.RunSQL(AFTER, BEFORE),
    ]
