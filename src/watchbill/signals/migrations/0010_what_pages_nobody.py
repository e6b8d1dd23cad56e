from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("signals", "0009_unrouted")]

    operations = [
        AddIndexConcurrently(
            model_name="group",
            index=models.Index(
                condition=models.Q(
                    ("state", "open"), models.Q(("route", {}), ("route__has_key", "nobody"), _connector="OR")
                ),
                fields=["workspace"],
                name="signals_group_unpaged",
            ),
        ),
    ]
