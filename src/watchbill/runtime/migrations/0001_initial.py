from django.db import migrations, models

# wb_now(): the one clock. Tests replace the function, as the owner, by one that adds an offset; here there is none.
# wb_person(): the person of the transaction, set by the middleware with set_config(…, is_local => true).
# wb_health(): what /readyz needs, so that no principal has to read the tables behind it.
FUNCTIONS = """
CREATE FUNCTION wb_now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS 'SELECT now()';
CREATE FUNCTION wb_person() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE
  AS $$ SELECT nullif(current_setting('watchbill.person', true), '')::uuid $$;
"""
HEALTH = """
CREATE FUNCTION wb_health() RETURNS TABLE (migrations bigint, newest text, worker_age interval, server_time timestamptz)
  LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public AS $$
  SELECT (SELECT count(*) FROM django_migrations),
         (SELECT app || '.' || name FROM django_migrations ORDER BY id DESC LIMIT 1),
         (SELECT wb_now() - max(at) FROM runtime_heartbeat WHERE kind = 'worker'),
         clock_timestamp() $$;
"""
# After the table it reads.
HUB_ID = """
CREATE FUNCTION wb_hub_id() RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public
  AS $$ SELECT value FROM runtime_meta WHERE key = 'hub_id' $$;
"""


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.RunSQL(FUNCTIONS, "DROP FUNCTION wb_person(); DROP FUNCTION wb_now();"),
        migrations.CreateModel(
            name="Meta",
            fields=[("key", models.TextField(primary_key=True, serialize=False)), ("value", models.TextField())],
            options={"db_table": "runtime_meta"},
        ),
        migrations.CreateModel(
            name="Heartbeat",
            fields=[
                ("process", models.TextField(help_text="kind@host/pid", primary_key=True, serialize=False)),
                ("kind", models.TextField()),
                ("version", models.TextField()),
                ("at", models.DateTimeField()),
            ],
            options={"db_table": "runtime_heartbeat"},
        ),
        migrations.CreateModel(
            name="IdempotencyKey",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("person_id", models.UUIDField()),
                ("key", models.TextField()),
                ("request_digest", models.TextField()),
                ("status", models.IntegerField(null=True)),
                ("body", models.BinaryField(null=True)),
                ("content_type", models.TextField(default="application/json")),
                ("at", models.DateTimeField()),
            ],
            options={
                "db_table": "runtime_idempotency_key",
                "indexes": [models.Index(fields=["at"], name="idempotency_at")],
                "constraints": [
                    models.UniqueConstraint(fields=("person_id", "key"), name="idempotency_once_per_person")
                ],
            },
        ),
        migrations.RunSQL(HEALTH, "DROP FUNCTION wb_health();"),
        migrations.RunSQL(HUB_ID, "DROP FUNCTION wb_hub_id();"),
    ]
