from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("mcp_mount_django", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="RetiredId",
            fields=[
                ("id", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("until", models.FloatField(db_index=True)),
            ],
        ),
    ]
