from uuid import UUID

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import F, Q, Value
from django.db.models.functions import Coalesce


class Migration(migrations.Migration):
    # Deliveries can be many: the hub goes on sending while their indexes are made.
    atomic = False

    dependencies = [
        ("paging", "0008_turns"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="delivery",
            index=models.Index(
                F("priority"),
                F("workspace"),
                Coalesce("channel", Value(UUID(int=0))),
                Coalesce("person_id", Value(UUID(int=0))),
                F("due_at"),
                F("id"),
                name="paging_delivery_turn",
                condition=Q(state="waiting"),
            ),
        ),
        AddIndexConcurrently(
            model_name="delivery",
            index=models.Index(fields=["leased_until"], name="paging_delivery_held", condition=Q(state="sending")),
        ),
    ]
