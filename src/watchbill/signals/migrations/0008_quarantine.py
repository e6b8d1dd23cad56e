from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("signals", "0007_stopped_checks")]
    operations = [
        migrations.AddField(
            model_name="arrival",
            name="error",
            field=models.TextField(
                db_default="", default="", help_text="the type of the error; empty where its sender is to correct it"
            ),
        ),
        migrations.AddField(
            model_name="arrival",
            name="problem_at",
            field=models.DateTimeField(null=True, help_text="when it was quarantined"),
        ),
    ]
