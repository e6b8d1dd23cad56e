from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("people", "0002_functions"),
    ]

    operations = [
        migrations.AddField(
            model_name="workspace",
            name="demo",
            field=models.BooleanField(default=False, help_text="its people are invented: nothing leaves it"),
        ),
        # The release before this one writes workspaces without it.
        migrations.RunSQL(
            "ALTER TABLE people_workspace ALTER COLUMN demo SET DEFAULT false",
            "ALTER TABLE people_workspace ALTER COLUMN demo DROP DEFAULT",
        ),
    ]
