"""Since when there has been a budget: kept by the database, whoever sets or takes it away."""

from django.db import migrations, models

FUNCTION = """
CREATE FUNCTION keep_budget_since() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.budget_usd IS NULL THEN
        NEW.budget_since := NULL;
    ELSIF TG_OP = 'INSERT' THEN
        NEW.budget_since := clock_timestamp();
    ELSIF OLD.budget_usd IS NULL THEN
        NEW.budget_since := clock_timestamp();
    ELSE
        NEW.budget_since := OLD.budget_since;
    END IF;
    RETURN NEW;
END $$
"""


def keep(table: str) -> str:
    return f"""
    CREATE TRIGGER keep_budget_since BEFORE INSERT OR UPDATE OF budget_usd, budget_since ON {table}
        FOR EACH ROW EXECUTE FUNCTION keep_budget_since()
    """


def forget(table: str) -> str:
    return f"DROP TRIGGER keep_budget_since ON {table}"


class Migration(migrations.Migration):
    dependencies = [("accounts", "0005_content")]

    operations = [
        migrations.AddField(
            model_name=name,
            name="budget_since",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        )
        for name in ("membership", "workspace")
    ] + [
        migrations.RunSQL(FUNCTION, "DROP FUNCTION keep_budget_since()"),
        *(
            migrations.RunSQL(keep(table), forget(table))
            for table in ("accounts_membership", "accounts_workspace")
        ),
    ]
