from watchbill.base.ids import HUB
from watchbill.runtime.principals import MINE, Table

# Who is in the hub's own workspace may found workspaces, and be put into them.
_HUB = f"'{HUB}'::uuid = ANY ({MINE})"
_COLLEAGUE = f"person_id IN (SELECT m.person_id FROM people_membership m WHERE m.workspace_id = ANY ({MINE}))"
_SEEN = f"id IN (SELECT m.person_id FROM people_membership m WHERE m.workspace_id = ANY ({MINE})) OR created_in_id = ANY ({MINE})"
_ALL = "select, insert, update"
# At sign-in, roles follow the identity provider's groups: the sign-in principal touches those roles and no others.
_SIGNIN = {
    "people_membership": {"worker": _ALL, "signin": "select, insert"},
    "people_role_grant": {"worker": _ALL, "signin": "select, insert, update (ended_at)"},
}
_FROM_GROUPS = {"people_role_grant": {"signin": "source LIKE 'group:%'"}}

TABLES = [
    Table(
        "people_workspace",
        scope="custom",
        app=_ALL,
        read=f"id = ANY ({MINE})",
        write=f"id = ANY ({MINE}) OR {_HUB}",
        others={"worker": _ALL, "signin": "select (id, slug, name, require_mfa)", "sealer": "select (id)"},
    ),
    Table(
        "people_person",
        scope="custom",
        app=_ALL,
        read=_SEEN,
        write=_SEEN,
        others={"worker": _ALL, "signin": "select (id, name, active, erased_at)"},
    ),
    Table(
        "people_contact_method",
        scope="custom",
        app=f"{_ALL}, delete",
        read=f"person_id = wb_person() OR {_COLLEAGUE}",
        write=f"{_COLLEAGUE} OR EXISTS (SELECT 1 FROM people_person p WHERE p.id = person_id AND p.created_in_id = ANY ({MINE}))",
        others={"worker": f"{_ALL}, delete", "signin": "select"},
    ),
    *(
        Table(
            name,
            scope="custom",
            app=_ALL,
            read=f"workspace_id = ANY ({MINE})",
            write=f"workspace_id = ANY ({MINE}) OR {_HUB}",
            others=_SIGNIN[name],
            conditions=_FROM_GROUPS.get(name, {}),
        )
        for name in ("people_membership", "people_role_grant")
    ),
    *(
        Table(name, app=f"{_ALL}, delete", others={"worker": f"{_ALL}, delete", "signin": "select"})
        for name in ("people_role_label", "people_group_mapping")
    ),
    Table("people_team", app=_ALL, others={"worker": _ALL}),
    Table("people_team_member", app=f"{_ALL}, delete", others={"worker": f"{_ALL}, delete"}),
    Table(
        "people_api_token",
        app="select (id, workspace_id, person_id, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at), insert, update (revoked_at, name)",
        others={"worker": "select, insert, update", "signin": "select, update (last_used_at)"},
    ),
]
FUNCTIONS = {"wb_places_of(uuid)": ("app", "worker")}
