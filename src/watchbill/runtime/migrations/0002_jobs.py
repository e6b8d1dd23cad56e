from django.db import migrations

# wb_defer(): the one way into the job queue for the app role, which has no grant on the queue's tables. It refuses
# a session without a person, so that a bare SQL session under the app role cannot start work.
DEFER = """
CREATE FUNCTION wb_defer(queue text, task text, args jsonb, run_at timestamptz, queueing_lock text) RETURNS bigint
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS $$
DECLARE job bigint;
BEGIN
  IF session_user LIKE '%\\_app' AND wb_person() IS NULL THEN
    RAISE EXCEPTION 'no person in this transaction' USING ERRCODE = 'insufficient_privilege';
  END IF;
  INSERT INTO procrastinate_jobs (queue_name, task_name, args, scheduled_at, queueing_lock)
    VALUES (queue, task, args, run_at, queueing_lock) ON CONFLICT DO NOTHING RETURNING id INTO job;
  RETURN job;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [("runtime", "0001_initial"), ("procrastinate", "0001_initial")]
    run_before = []
    operations = [migrations.RunSQL(DEFER, "DROP FUNCTION wb_defer(text, text, jsonb, timestamptz, text);")]
