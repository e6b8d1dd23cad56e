from django.apps import AppConfig


class SigninConfig(AppConfig):
    name = "watchbill.signin"
    label = "signin"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from watchbill.signin import subscribers  # noqa: F401 - they declare themselves
