from django.db import migrations
from pgvector.django import VectorExtension


class Migration(migrations.Migration):
    """pgvector's type and operators. A hosted Postgres may need its owner to create the extension beforehand."""

    initial = True
    dependencies = []
    operations = [VectorExtension()]
