from django.apps import AppConfig


class OncallConfig(AppConfig):
    name = "watchbill.oncall"
    label = "oncall"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from watchbill.facts.subjects import register
        from watchbill.oncall import queries

        register("handover", "handover", resolve=queries.resolve_schedules)
        register("schedule", "on-call schedule", resolve=queries.resolve_schedules, search=queries.search_schedules)
