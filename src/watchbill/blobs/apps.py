from django.apps import AppConfig


class BlobsConfig(AppConfig):
    name = "watchbill.blobs"
    label = "blobs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from watchbill.blobs import jobs  # noqa: F401 - jobs declare themselves
        from watchbill.blobs.queries import resolve_files
        from watchbill.facts.subjects import register

        register("file", "file", resolve=resolve_files)
