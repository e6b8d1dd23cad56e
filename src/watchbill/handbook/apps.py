from django.apps import AppConfig


class HandbookConfig(AppConfig):
    name = "watchbill.handbook"
    label = "handbook"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from watchbill.facts.subjects import register
        from watchbill.handbook import bindings, jobs, looks, queries, subscribers  # noqa: F401 - they declare what they listen to and look at

        register("revision", "handbook revision", resolve=queries.resolve_revisions)
        register("draft", "handbook under review", resolve=queries.resolve_drafts)
        register("runbook", "runbook", resolve=queries.resolve_documents, search=queries.search_documents)
        register("policy", "policy", resolve=queries.resolve_items, search=queries.search_items)
