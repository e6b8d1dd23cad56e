from django.apps import AppConfig


class CatalogueConfig(AppConfig):
    name = "watchbill.catalogue"
    label = "catalogue"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from watchbill.catalogue import queries
        from watchbill.facts.subjects import register

        register("service", "service", resolve=queries.resolve_services, search=queries.search_services)
        register("environment", "environment", resolve=queries.resolve_environments)
