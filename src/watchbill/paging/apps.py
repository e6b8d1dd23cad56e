from django.apps import AppConfig


class PagingConfig(AppConfig):
    name = "watchbill.paging"
    label = "paging"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from watchbill.facts.subjects import register
        from watchbill.paging import (  # noqa: F401 - they declare what they publish, listen to and look at
            alarm,
            announcements,
            looks,
            looks_integrations,
            notices,
            presses,
            queries,
            roster,
            sending,
            subscribers,
            unrouted,
        )

        register("page", "page", resolve=queries.resolve_pages)
        register(alarm.ABILITY, "ability to page", resolve=alarm.resolve_ability)
        register(announcements.SUBJECT, "what made the hub quieter", resolve=announcements.resolve_announcements)
        register("channel", "channel", resolve=queries.resolve_channels)
        register("contact", "contact", resolve=queries.resolve_tests)
        register("roster", "contact roster", resolve=roster.resolve_roster)
        register(unrouted.SUBJECT, "alerts without a route", resolve=unrouted.resolve_unrouted)
        register("test", "test page", resolve=queries.resolve_tests)
