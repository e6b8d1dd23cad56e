from watchbill.runtime.principals import Table

_AUTH = "authentication state: only the sign-in principal reads it, by hashed key or by login"
_ALL = "select, insert, update, delete"
_SWEEP = {"signin": _ALL, "sweeper": "select (expires_at), delete"}

TABLES = [
    Table("signin_login", scope="none", reason=_AUTH, others={"signin": _ALL}),
    Table("signin_session", scope="none", reason=_AUTH, others=_SWEEP),
    Table("signin_one_time_link", scope="none", reason=_AUTH, others=_SWEEP),
    *(
        Table(name, scope="none", reason=f"django-allauth's; {_AUTH}", others={"signin": _ALL})
        for name in (
            "account_emailaddress",
            "account_emailconfirmation",
            "socialaccount_socialaccount",
            "socialaccount_socialapp",
            "socialaccount_socialtoken",
            "mfa_authenticator",
        )
    ),
    *(
        Table(
            name,
            scope="none",
            reason="Django's own groups and permissions; unused, required by django-allauth",
            others={"signin": "select"},
        )
        for name in ("auth_group", "auth_permission", "auth_group_permissions")
    ),
]
