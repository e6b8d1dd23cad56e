from django.apps import AppConfig


class PeopleConfig(AppConfig):
    name = "watchbill.people"
    label = "people"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from watchbill.facts.subjects import register
        from watchbill.people import queries, subscribers, teams  # noqa: F401 - subscribers declare themselves

        register("person", "person", resolve=queries.resolve_people, search=queries.search_people)
        register("team", "team", resolve=queries.resolve_teams, search=queries.search_teams)
        register("workspace", "workspace", resolve=queries.resolve_workspaces)
