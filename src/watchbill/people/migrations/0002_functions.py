from django.db import migrations

# wb_my_workspaces(): the workspaces of the transaction's person; nothing for nobody, for the inactive, and beyond an
# API token's own workspace. Every policy asks it once per statement. Definer, because policies on these very tables use it.
# wb_places_of(): all workspaces of a person, also those that the one who asks cannot see; the rule “nobody acts on a
# sign-in that reaches further than their own” needs to know that there are others.
# wb_stats(): numbers for /metrics and doctor, so that no principal has to read the tables behind them.
FUNCTIONS = """
CREATE FUNCTION wb_my_workspaces() RETURNS uuid[] LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$
-- plpgsql keeps its plans for the session; as an SQL function this was planned anew by every statement. Names are
-- qualified instead of a search_path of its own, which every call would have to set; no principal can create objects.
DECLARE
  me pg_catalog.uuid := nullif(pg_catalog.current_setting('watchbill.person', true), '')::pg_catalog.uuid;
  single pg_catalog.uuid := nullif(pg_catalog.current_setting('watchbill.only', true), '')::pg_catalog.uuid;
BEGIN
  IF me IS NULL THEN
    RETURN '{}';
  END IF;
  RETURN (
    SELECT coalesce(pg_catalog.array_agg(m.workspace_id), '{}')
    FROM public.people_membership m JOIN public.people_person p ON p.id = m.person_id
    WHERE m.person_id = me AND m.ended_at IS NULL AND p.active AND (single IS NULL OR m.workspace_id = single));
END $$;
CREATE FUNCTION wb_places_of(who uuid) RETURNS uuid[] LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = public AS $$
BEGIN
  IF session_user LIKE '%\\_app' AND wb_person() IS NULL THEN
    RAISE EXCEPTION 'no person in this transaction' USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN (SELECT coalesce(array_agg(workspace_id), '{}') FROM people_membership WHERE person_id = who AND ended_at IS NULL);
END $$;
CREATE FUNCTION wb_stats() RETURNS TABLE (sealed bigint, unsealed bigint, facts_waiting bigint, facts_failed bigint, jobs jsonb)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS $$
  SELECT (SELECT coalesce(sum(size), 0)::bigint FROM ledger_log),
         (SELECT count(*) FROM ledger_entry e WHERE (e.xid, e.id) > (
            SELECT (value::jsonb->>0)::xid8, (value::jsonb->>1)::uuid FROM runtime_meta WHERE key = 'seal_cursor')),
         (SELECT count(*) FROM facts_delivery WHERE state = 'waiting'),
         (SELECT count(*) FROM facts_delivery WHERE state = 'failed'),
         (SELECT coalesce(jsonb_object_agg(status, n), '{}') FROM
            (SELECT status, count(*) AS n FROM procrastinate_jobs WHERE status <> 'succeeded' GROUP BY status) AS s) $$;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("people", "0001_initial"),
        ("ledger", "0002_log"),
        ("facts", "0001_initial"),
        ("runtime", "0002_jobs"),
        ("procrastinate", "0041_post_retry_failed_job"),
    ]
    operations = [
        migrations.RunSQL(
            FUNCTIONS, "DROP FUNCTION wb_stats(); DROP FUNCTION wb_places_of(uuid); DROP FUNCTION wb_my_workspaces();"
        )
    ]
