from django.apps import AppConfig


class IncidentsConfig(AppConfig):
    name = "watchbill.incidents"
    label = "incidents"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from watchbill.facts.subjects import register
        from watchbill.incidents import calling, commands, looks, queries, subscribers  # noqa: F401 - they declare what they listen to
        from watchbill.signals.unrouted import names_from

        names_from(queries.names_for_routes)
        register("incident", "incident", resolve=queries.resolve_incidents, search=queries.search_incidents)
        register(commands.CALL, "call", resolve=calling.resolve_calls)
        register("growth", "growth", resolve=queries.resolve_incidents)
        register("again", "reopening", resolve=queries.resolve_incidents)
        register("briefing", "briefing", resolve=queries.resolve_incidents)
