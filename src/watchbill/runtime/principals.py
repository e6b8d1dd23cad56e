"""Database principals: narrow login roles, none of them superuser or owner, and what each may touch.

Every app lists its tables in ``access.py``; `watchbill migrate` turns the lists into grants and row-level-security
policies. A table that is in no list has no grant: nobody reads it. `tests/runtime/test_every_table_is_guarded.py`
walks all of them.
"""

import hashlib
import importlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from django.apps import apps
from psycopg import sql

from watchbill.base.errors import Broken, SettingError
from watchbill.base.keys import Keys

#: role → what it is for. The names in the database carry the prefix of WATCHBILL_ROLE_PREFIX.
PRINCIPALS = {
    "app": "requests of persons: row-level security by the person of the transaction",
    "signin": "authentication tables only: logins, sessions, one-time links, tokens",
    "worker": "background steps and the command line: feature tables of all workspaces, no authentication tables",
    "sealer": "reads ledger entries, writes the sealed log",
    "sweeper": "deletes what has expired: sessions, links, idempotency keys, heartbeats",
    "intake": "the intake path: finds a source by its key and writes into its inbox; reads nothing of what came",
}

Scope = Literal["workspace", "custom", "none"]
MINE = "(SELECT wb_my_workspaces())::uuid[]"


@dataclass(frozen=True)
class Table:
    """One table: which principal may do what, and which rows a person sees.

    ``scope`` is "workspace" (rows carry workspace_id), "custom" (``read`` and ``write`` are SQL conditions for the
    app role) or "none" (no workspace: ``reason`` says why, and the app role has no grant at all).
    ``others`` maps a principal to its privileges; ``conditions`` narrows one to the rows that satisfy SQL.
    """

    name: str
    scope: Scope = "workspace"
    app: str = ""
    others: dict[str, str] = field(default_factory=dict)
    read: str = ""
    write: str = ""
    reason: str = ""
    conditions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.scope == "none" and (self.app or not self.reason):
            raise Broken(f"{self.name}: a table without a workspace needs a reason and gives the app role nothing")
        if self.scope == "custom" and not (self.read and self.write):
            raise Broken(f"{self.name}: a custom scope needs its read and write conditions")


def declared_tables() -> dict[str, Table]:
    """All tables that the installed apps declare, by name."""
    found: dict[str, Table] = {}
    for config in apps.get_app_configs():
        try:
            module = importlib.import_module(f"{config.name}.access")
        except ModuleNotFoundError as error:
            if error.name != f"{config.name}.access":
                raise
            continue
        for table in module.TABLES:
            if table.name in found:
                raise Broken(f"{table.name} is declared twice")
            found[table.name] = table
    return found


def declared_functions() -> dict[str, tuple[str, ...]]:
    """SQL functions that principals may call beyond the ones of this module: name(args) → principals."""
    found: dict[str, tuple[str, ...]] = {}
    for config in apps.get_app_configs():
        try:
            found |= getattr(importlib.import_module(f"{config.name}.access"), "FUNCTIONS", {})
        except ModuleNotFoundError:
            continue
    return found


def ensure_roles(cursor: Any, prefix: str, keys: Keys) -> None:
    """Makes the login roles and sets their derived passwords (idempotent; needs CREATEROLE)."""
    for role in PRINCIPALS:
        name = sql.Identifier(f"{prefix}_{role}")
        cursor.execute("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = %s", [f"{prefix}_{role}"])
        known = cursor.fetchone()
        if known and known[0]:
            raise SettingError(
                f"The database role {prefix}_{role} exists and is a superuser or passes by row-level security; the hub does not use it.",
                hint="Drop that role, or choose another WATCHBILL_ROLE_PREFIX.",
                field="WATCHBILL_ROLE_PREFIX",
            )
        # Attributes such as NOCREATEDB are the default; naming them needs rights that an owner with CREATEROLE may lack.
        password = sql.Literal(keys.text(f"database-role/{role}"))
        if known:
            cursor.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(name, password))
        else:
            cursor.execute(sql.SQL("CREATE ROLE {} LOGIN NOINHERIT PASSWORD {}").format(name, password))
        cursor.execute(sql.SQL("ALTER ROLE {} SET search_path = public").format(name))
        cursor.execute(sql.SQL("ALTER ROLE {} SET idle_in_transaction_session_timeout = '60s'").format(name))
    cursor.execute("SELECT current_database()")
    database = sql.Identifier(cursor.fetchone()[0])
    cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
    cursor.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    for role in PRINCIPALS:
        name = sql.Identifier(f"{prefix}_{role}")
        cursor.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, name))
        cursor.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(name))


def apply_access(cursor: Any, prefix: str, *, force: bool = False) -> bool:
    """Brings grants and policies to what the apps declare, in one transaction. Says whether anything changed."""
    statements = list(_statements(prefix))
    digest = hashlib.sha256("\n".join(statements).encode()).hexdigest()
    cursor.execute("SELECT value FROM runtime_meta WHERE key = 'access'")
    row = cursor.fetchone()
    if row and row[0] == digest and not force:
        return False
    for statement in statements:
        cursor.execute(statement)
    cursor.execute(
        "INSERT INTO runtime_meta (key, value) VALUES ('access', %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        [digest],
    )
    return True


def _statements(prefix: str) -> Iterator[str]:
    roles = {role: f'"{prefix}_{role}"' for role in PRINCIPALS}
    everyone = ", ".join(roles.values())
    yield f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC, {everyone}"
    yield f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM PUBLIC, {everyone}"
    # Ours and the queue's; functions of extensions stay callable, operators need them.
    yield (
        "DO $$ DECLARE f record; BEGIN FOR f IN SELECT p.oid::regprocedure AS name FROM pg_proc p "
        "WHERE p.pronamespace = 'public'::regnamespace AND (p.proname LIKE 'wb\\_%' OR p.proname LIKE 'procrastinate\\_%') LOOP "
        f"EXECUTE 'REVOKE ALL ON FUNCTION ' || f.name || ' FROM PUBLIC, {everyone}'; "
        f"IF f.name::text LIKE 'procrastinate%' THEN EXECUTE 'GRANT EXECUTE ON FUNCTION ' || f.name || ' TO {roles['worker']}'; END IF; "
        "END LOOP; END $$"
    )
    yield f"GRANT EXECUTE ON FUNCTION wb_now(), wb_person(), wb_my_workspaces(), wb_health(), wb_hub_id(), wb_stats(), wb_lag(), wb_due_deliveries(uuid) TO {everyone}"
    for function, callers in sorted(declared_functions().items()):
        yield f"GRANT EXECUTE ON FUNCTION {function} TO {', '.join(roles[caller] for caller in callers)}"
    for table in sorted(declared_tables().values(), key=lambda table: table.name):
        yield from _table_statements(table, roles)


def _table_statements(table: Table, roles: dict[str, str]) -> Iterator[str]:
    name = f'"{table.name}"'
    yield f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"
    yield (
        "DO $$ DECLARE p record; BEGIN FOR p IN SELECT policyname FROM pg_policies "
        f"WHERE schemaname = 'public' AND tablename = '{table.name}' LOOP "
        f"EXECUTE format('DROP POLICY %I ON {name}', p.policyname); END LOOP; END $$"
    )
    read, write = table.read, table.write
    if table.scope == "workspace":
        read = write = f"workspace_id = ANY ({MINE})"
    if table.app:
        yield f"GRANT {table.app} ON {name} TO {roles['app']}"
        yield from _policies(name, "app", roles["app"], _verbs(table.app), read, write)
    for role, privileges in sorted(table.others.items()):
        condition = table.conditions.get(role, "true")
        yield f"GRANT {privileges} ON {name} TO {roles[role]}"
        yield from _policies(name, role, roles[role], _verbs(privileges), condition, condition)
    if any("insert" in privileges for privileges in [table.app, *table.others.values()]):
        yield (
            "DO $$ DECLARE s text; BEGIN FOR s IN SELECT pg_get_serial_sequence"
            f"('{table.name}', attname) FROM pg_attribute WHERE attrelid = '{table.name}'::regclass AND attnum > 0 "
            "AND NOT attisdropped AND (attidentity <> '' OR atthasdef) LOOP IF s IS NOT NULL THEN "
            + "".join(
                f"EXECUTE 'GRANT USAGE, SELECT ON SEQUENCE ' || s || ' TO {roles[role]}'; "
                for role, privileges in [("app", table.app), *sorted(table.others.items())]
                if "insert" in privileges
            )
            + "END IF; END LOOP; END $$"
        )


def _verbs(privileges: str) -> Iterable[str]:
    return sorted(
        {part.strip().split(" ")[0].split("(")[0].lower() for part in privileges.split(",")}
        & {"select", "insert", "update", "delete"}
    )


def _policies(name: str, label: str, role: str, verbs: Iterable[str], read: str, write: str) -> Iterator[str]:
    for verb in verbs:
        using = "" if verb == "insert" else f" USING ({read if verb == 'select' else write})"
        check = f" WITH CHECK ({write})" if verb in {"insert", "update"} else ""
        yield f'CREATE POLICY "{label}_{verb}" ON {name} FOR {verb.upper()} TO {role}{using}{check}'
