from django.db import migrations

# wb_lag(): how long the oldest thing of each kind has waited for the worker, for doctor, /metrics, /readyz and the dead man's switch, so that no
# principal has to read the tables behind it. Ids, names of methods, jobs and subscribers, types of errors; nothing personal. What is set aside
# (runtime_failure) is told by itself, as “failing”: it waits, and nothing waits for it. Counts end at 10,001, so that a storm costs nothing here.
LAG = """
CREATE FUNCTION wb_lag() RETURNS TABLE (kind text, count bigint, age interval, why text)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS $$
  WITH aside AS (SELECT unit, item FROM runtime_failure WHERE last_at > wb_now() - interval '10 minutes'),
  arrivals AS (
    SELECT a.id, a.source_id, coalesce(a.problem_at, a.received_at) AS since FROM signals_arrival a WHERE a.problem IS NULL
      AND NOT EXISTS (SELECT FROM aside WHERE unit = 'intake' AND item IN ('source:' || a.source_id, 'arrival:' || a.id))
    ORDER BY a.id LIMIT 10001),
  facts AS (
    SELECT d.due_at, d.subscriber, split_part(d.error, ':', 1) AS error FROM facts_delivery d
    WHERE d.state = 'waiting' AND d.due_at <= wb_now() ORDER BY d.due_at LIMIT 10001),
  retried AS (
    SELECT f.at, d.subscriber, split_part(d.error, ':', 1) AS error FROM facts_delivery d JOIN facts_fact f ON f.id = d.fact_id
    WHERE d.state = 'waiting' AND d.attempts > 0 ORDER BY d.due_at LIMIT 10001),
  deliveries AS (
    SELECT d.due_at, d.method FROM paging_delivery d WHERE d.state IN ('waiting', 'sending') AND d.due_at <= wb_now()
      AND (d.state = 'waiting' OR d.leased_until <= wb_now())
      AND NOT EXISTS (SELECT FROM aside WHERE unit = 'deliveries' AND item = d.id::text)
    ORDER BY d.due_at LIMIT 10001),
  pages AS (
    SELECT p.next_at FROM paging_page p WHERE p.next_at <= wb_now()
      AND NOT EXISTS (SELECT FROM aside WHERE unit = 'pages' AND item = p.id::text) ORDER BY p.next_at LIMIT 10001),
  clocks AS (
    SELECT c.next_at, c.kind FROM clocks_clock c WHERE c.next_at <= wb_now()
      AND NOT EXISTS (SELECT FROM aside WHERE unit = 'clocks' AND item = c.id::text) ORDER BY c.next_at LIMIT 10001),
  checks AS (
    SELECT c.next_at, c.source_id FROM signals_check c WHERE c.next_at <= wb_now() AND c.removed_at IS NULL
      AND NOT EXISTS (SELECT FROM aside WHERE unit = 'checks' AND item = 'check:' || c.id) ORDER BY c.next_at LIMIT 10001),
  jobs AS (
    SELECT j.task_name, coalesce(j.scheduled_at, (SELECT min(e.at) FROM procrastinate_events e WHERE e.job_id = j.id)) AS since
    FROM procrastinate_jobs j WHERE j.status = 'todo' AND (j.scheduled_at IS NULL OR j.scheduled_at <= now()) ORDER BY j.id LIMIT 10001),
  entries AS (
    SELECT e.at::timestamptz AS since FROM ledger_entry e WHERE (e.xid, e.id) > (
      SELECT coalesce((SELECT (value::jsonb->>0)::xid8 FROM runtime_meta WHERE key = 'seal_cursor'), '0'::xid8),
             coalesce((SELECT (value::jsonb->>1)::uuid FROM runtime_meta WHERE key = 'seal_cursor'), '00000000-0000-0000-0000-000000000000'))
    ORDER BY e.xid, e.id LIMIT 10001),
  quarantined AS (SELECT a.problem_at, a.received_at, a.error FROM signals_arrival a WHERE a.problem IS NOT NULL LIMIT 10001)
  SELECT 'arrival', (SELECT count(*) FROM arrivals), wb_now() - since, 'integration ' || source_id
    FROM (SELECT * FROM arrivals ORDER BY since LIMIT 1) t
  UNION ALL SELECT 'fact', (SELECT count(*) FROM facts), wb_now() - due_at, subscriber || CASE WHEN error = '' THEN '' ELSE ': ' || error END
    FROM (SELECT * FROM facts ORDER BY due_at LIMIT 1) t
  UNION ALL SELECT 'subscriber', (SELECT count(*) FROM retried), wb_now() - at, subscriber || ': ' || error
    FROM (SELECT * FROM retried ORDER BY at LIMIT 1) t
  UNION ALL SELECT 'delivery', (SELECT count(*) FROM deliveries), wb_now() - due_at, method FROM (SELECT * FROM deliveries ORDER BY due_at LIMIT 1) t
  UNION ALL SELECT 'page', (SELECT count(*) FROM pages), wb_now() - next_at, '' FROM (SELECT * FROM pages ORDER BY next_at LIMIT 1) t
  UNION ALL SELECT 'clock', (SELECT count(*) FROM clocks), wb_now() - next_at, t.kind FROM (SELECT * FROM clocks ORDER BY next_at LIMIT 1) t
  UNION ALL SELECT 'check', (SELECT count(*) FROM checks), wb_now() - next_at, 'integration ' || source_id
    FROM (SELECT * FROM checks ORDER BY next_at LIMIT 1) t
  UNION ALL SELECT 'job', (SELECT count(*) FROM jobs), now() - since, task_name FROM (SELECT * FROM jobs ORDER BY since LIMIT 1) t
  UNION ALL SELECT 'entry', (SELECT count(*) FROM entries), wb_now() - since, '' FROM (SELECT * FROM entries ORDER BY since LIMIT 1) t
  UNION ALL SELECT 'quarantined', (SELECT count(*) FROM quarantined), wb_now() - coalesce(problem_at, received_at), error
    FROM (SELECT * FROM quarantined ORDER BY coalesce(problem_at, received_at) LIMIT 1) t
  UNION ALL SELECT 'failing', count(*), wb_now() - min(first_at), unit || ': ' || string_agg(DISTINCT error, ', ')
    FROM runtime_failure WHERE last_at > wb_now() - interval '10 minutes' GROUP BY unit $$;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("runtime", "0003_failures"),
        ("signals", "0008_quarantine"),
        ("facts", "0001_initial"),
        ("clocks", "0001_initial"),
        ("paging", "0004_answers"),
        ("ledger", "0003_parse_once"),
        ("procrastinate", "0041_post_retry_failed_job"),
    ]
    operations = [migrations.RunSQL(LAG, "DROP FUNCTION wb_lag();")]
