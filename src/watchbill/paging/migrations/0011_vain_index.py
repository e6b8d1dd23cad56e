from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    # Deliveries can be many: the hub goes on sending while the index is made.
    atomic = False

    dependencies = [
        ("paging", "0010_texts_stopped"),
    ]

    operations = [
        AddIndexConcurrently(
            model_name="delivery",
            index=models.Index(
                fields=["contact_id", "-attempted_at"],
                name="paging_delivery_vain",
                condition=Q(
                    sent_at=None,
                    attempts__gt=0,
                    contact_id__isnull=False,
                    state__in=["waiting", "failed", "stopped", "unknown"],
                ),
            ),
        ),
    ]
