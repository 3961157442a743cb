from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0006_budget_since"),
        ("analytics", "0011_quoted_documents"),
    ]

    operations = [
        migrations.AddConstraint(
            model_name="usagerecord",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("cost_usd__gte", 0),
                    ("cost_usd__lt", 1000000000000),
                    ("saved_usd__gte", 0),
                    ("saved_usd__lt", 1000000000000),
                ),
                name="usage_is_money",
            ),
        ),
    ]
