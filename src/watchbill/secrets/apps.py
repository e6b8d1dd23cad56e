from django.apps import AppConfig


class SecretsConfig(AppConfig):
    name = "watchbill.secrets"
    label = "secrets"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from watchbill.facts.subjects import register
        from watchbill.secrets.queries import resolve_secrets

        register("secret", "secret", resolve=resolve_secrets)
