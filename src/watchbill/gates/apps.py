from django.apps import AppConfig


class GatesConfig(AppConfig):
    name = "watchbill.gates"
    label = "gates"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from watchbill.facts.subjects import register
        from watchbill.gates import queries, subscribers  # noqa: F401 - subscribers declare themselves

        register("request", "request for approval", resolve=queries.resolve_requests)
