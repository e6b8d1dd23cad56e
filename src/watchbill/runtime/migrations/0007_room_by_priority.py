from importlib import import_module

from django.db import migrations

# wb_due_deliveries() again, as paging/turns.py counts now: a workspace and a channel keep senders for messages that matter more, so what waits
# behind messages of a higher priority only is not late, and a critical message is not excused by the tests of its own workspace. The numbers
# (priority, hub, workspace, channel) are those of paging/turns.py; a test compares them.
BEFORE = import_module("watchbill.runtime.migrations.0006_due_deliveries").DUE.replace(
    "CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"
)
_BEGIN, _END = "  full_workspaces AS MATERIALIZED (", "  due AS ("
FULL = """  limits (priority, hub, workspace, channel) AS (VALUES (0, 32767, 8, 6), (1, 14, 7, 5), (2, 12, 4, 3)),
  full_workspaces AS MATERIALIZED (
    SELECT DISTINCT p.priority, f.workspace_id FROM limits p JOIN (
      SELECT l.priority, h.workspace_id FROM held h JOIN limits l ON h.priority >= l.priority
      GROUP BY l.priority, h.workspace_id, l.workspace HAVING count(*) >= l.workspace) f ON f.priority <= p.priority),
  full_channels AS MATERIALIZED (
    SELECT DISTINCT p.priority, f.channel_id FROM limits p JOIN (
      SELECT l.priority, h.channel_id FROM held h JOIN limits l ON h.priority >= l.priority AND h.channel_id IS NOT NULL
      GROUP BY l.priority, h.channel_id, l.channel HAVING count(*) >= l.channel) f ON f.priority <= p.priority),
  full_hub AS MATERIALIZED (
    SELECT DISTINCT p.priority FROM limits p JOIN limits l ON l.priority <= p.priority
    WHERE (SELECT count(*) FROM held h WHERE h.priority >= l.priority) >= l.hub),
"""
_OLD = """        AND NOT EXISTS (SELECT FROM full_workspaces f WHERE f.workspace_id = d.workspace_id)
        AND NOT EXISTS (SELECT FROM full_channels f WHERE f.channel_id = d.channel_id)
        AND NOT (d.priority >= 2 AND room.no_low) AND NOT (d.priority + least(d.attempts, 1) >= 1 AND room.no_unproven)
"""
# Whoever was tried in vain once is not known to be reached.
_NEW = """        AND NOT EXISTS (SELECT FROM full_workspaces f
          WHERE f.workspace_id = d.workspace_id AND f.priority = least(greatest(d.priority, least(d.attempts, 1)), 2))
        AND NOT EXISTS (SELECT FROM full_channels f
          WHERE f.channel_id = d.channel_id AND f.priority = least(greatest(d.priority, least(d.attempts, 1)), 2))
        AND NOT EXISTS (SELECT FROM full_hub f WHERE f.priority = least(greatest(d.priority, least(d.attempts, 1)), 2))
"""
AFTER = BEFORE[: BEFORE.index(_BEGIN)] + FULL + BEFORE[BEFORE.index(_END) :]
AFTER = AFTER.replace(_OLD, _NEW, 1).replace("FROM paging_delivery d CROSS JOIN room", "FROM paging_delivery d", 1)


class Migration(migrations.Migration):
    dependencies = [
        ("runtime", "0006_due_deliveries"),
        ("paging", "0009_turn_indexes"),
    ]
    operations = [migrations.RunSQL(AFTER, BEFORE)]
