from django.apps import AppConfig


class SignalsConfig(AppConfig):
    name = "watchbill.signals"
    label = "signals"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from watchbill.facts.subjects import register
        from watchbill.signals import queries, silences  # noqa: F401 - it declares what it publishes

        register("silence", "silence", resolve=queries.resolve_silences)
        register("source", "integration", resolve=queries.resolve_sources)
        register("check", "check", resolve=queries.resolve_checks)
        register("group", "alert group", resolve=queries.resolve_groups, search=queries.search_groups)
