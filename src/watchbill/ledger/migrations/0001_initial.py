import django.contrib.postgres.fields
from django.db import migrations, models

TABLES = """
CREATE TABLE ledger_entry (
  body text NOT NULL,
  id uuid PRIMARY KEY GENERATED ALWAYS AS (((body::jsonb)->>'id')::uuid) STORED,
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  workspace_id uuid NOT NULL GENERATED ALWAYS AS (((body::jsonb)->>'workspace')::uuid) STORED,
  at text COLLATE "C" NOT NULL GENERATED ALWAYS AS ((body::jsonb)->>'at') STORED,
  actor_id uuid NOT NULL GENERATED ALWAYS AS (((body::jsonb)->>'actor')::uuid) STORED,
  action text NOT NULL GENERATED ALWAYS AS ((body::jsonb)->>'action') STORED,
  subject_kind text NOT NULL GENERATED ALWAYS AS ((body::jsonb)->>'subject_kind') STORED,
  subject_id text NOT NULL GENERATED ALWAYS AS ((body::jsonb)->>'subject') STORED
);
-- The sealer's walk in transaction order.
CREATE INDEX ledger_entry_settled ON ledger_entry (xid, id);
-- The audit feed of a workspace, newest first, and its filters.
CREATE INDEX ledger_entry_feed ON ledger_entry (workspace_id, id DESC);
CREATE INDEX ledger_entry_actor ON ledger_entry (workspace_id, actor_id, id DESC);
CREATE INDEX ledger_entry_action ON ledger_entry (workspace_id, action text_pattern_ops, id DESC);
CREATE INDEX ledger_entry_subject ON ledger_entry (workspace_id, subject_kind, subject_id, id DESC);
CREATE TABLE ledger_payload (
  entry_id uuid PRIMARY KEY REFERENCES ledger_entry (id),
  workspace_id uuid NOT NULL,
  salt bytea,
  body text,
  about uuid[] NOT NULL DEFAULT '{}',
  erased_at timestamptz,
  CHECK ((salt IS NULL) = (body IS NULL) AND (body IS NULL) = (erased_at IS NOT NULL))
);
-- Erasing one person's payloads.
CREATE INDEX ledger_payload_about ON ledger_payload USING gin (about) WHERE about <> '{}';
CREATE FUNCTION wb_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the ledger is append-only: % of % refused', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$;
CREATE FUNCTION wb_erase_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.entry_id = OLD.entry_id AND NEW.workspace_id = OLD.workspace_id AND NEW.body IS NULL AND NEW.salt IS NULL
     AND OLD.body IS NOT NULL AND NEW.erased_at IS NOT NULL THEN
    NEW.about = '{}';
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'a payload can only be erased' USING ERRCODE = 'restrict_violation';
END $$;
CREATE TRIGGER ledger_entry_append_only BEFORE UPDATE OR DELETE ON ledger_entry FOR EACH ROW EXECUTE FUNCTION wb_append_only();
CREATE TRIGGER ledger_entry_no_truncate BEFORE TRUNCATE ON ledger_entry FOR EACH STATEMENT EXECUTE FUNCTION wb_append_only();
CREATE TRIGGER ledger_payload_erase_only BEFORE UPDATE ON ledger_payload FOR EACH ROW EXECUTE FUNCTION wb_erase_only();
CREATE TRIGGER ledger_payload_no_delete BEFORE DELETE ON ledger_payload FOR EACH ROW EXECUTE FUNCTION wb_append_only();
CREATE TRIGGER ledger_payload_no_truncate BEFORE TRUNCATE ON ledger_payload FOR EACH STATEMENT EXECUTE FUNCTION wb_append_only();
"""


class Migration(migrations.Migration):
    initial = True
    dependencies = [("runtime", "0001_initial")]
    operations = [
        migrations.SeparateDatabaseAndState(
            database_operations=[
                migrations.RunSQL(
                    TABLES, "DROP TABLE ledger_payload, ledger_entry; DROP FUNCTION wb_append_only, wb_erase_only;"
                )
            ],
            state_operations=[
                migrations.CreateModel(
                    name="Entry",
                    fields=[
                        ("id", models.UUIDField(primary_key=True, serialize=False)),
                        ("body", models.TextField()),
                        ("workspace_id", models.UUIDField()),
                        ("at", models.TextField(help_text="RFC 3339, UTC, microseconds: sorts as text")),
                        ("actor_id", models.UUIDField()),
                        ("action", models.TextField()),
                        ("subject_kind", models.TextField()),
                        ("subject_id", models.TextField()),
                    ],
                    options={"db_table": "ledger_entry"},
                ),
                migrations.CreateModel(
                    name="Payload",
                    fields=[
                        ("entry_id", models.UUIDField(primary_key=True, serialize=False)),
                        ("workspace_id", models.UUIDField()),
                        ("salt", models.BinaryField(null=True)),
                        ("body", models.TextField(null=True)),
                        (
                            "about",
                            django.contrib.postgres.fields.ArrayField(
                                base_field=models.UUIDField(),
                                default=list,
                                help_text="persons whose personal data the body holds",
                                size=None,
                            ),
                        ),
                        ("erased_at", models.DateTimeField(null=True)),
                    ],
                    options={"db_table": "ledger_payload"},
                ),
            ],
        ),
    ]
