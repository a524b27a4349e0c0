import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

import gateway.models

POSITIVE = [django.core.validators.MinValueValidator(1)]


class Migration(migrations.Migration):
    dependencies = [
        ("gateway", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="call",
            name="dialect",
            field=models.CharField(default="messages", max_length=10),
        ),
        migrations.AddField(
            model_name="call",
            name="upstream",
            field=models.CharField(blank=True, max_length=60, default=""),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="call",
            name="attempts",
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.CreateModel(
            name="Upstream",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.SlugField(max_length=60, unique=True)),
                (
                    "base_url",
                    models.CharField(
                        help_text="Without /v1, such as https://api.anthropic.com or http://10.0.0.5:11434",
                        max_length=200,
                        validators=[gateway.models.an_address],
                    ),
                ),
                (
                    "dialects",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(
                            choices=[
                                ("messages", "Anthropic Messages"),
                                ("chat", "OpenAI Chat Completions"),
                                ("responses", "OpenAI Responses"),
                            ],
                            max_length=10,
                        ),
                        help_text="messages, chat, responses",
                        size=None,
                    ),
                ),
                (
                    "model_patterns",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=100),
                        default=gateway.models.every_model,
                        help_text="Models it answers for: claude-*, qwen3:*",
                        size=None,
                    ),
                ),
                (
                    "priority",
                    models.PositiveSmallIntegerField(default=10, help_text="Lower ones are tried first."),
                ),
                (
                    "weight",
                    models.PositiveSmallIntegerField(
                        default=100,
                        help_text="Its share of the machines, among upstreams of the same priority.",
                        validators=POSITIVE,
                    ),
                ),
                (
                    "free",
                    models.BooleanField(
                        default=False,
                        help_text="Calls cost no money: a server of your own. Tokens and calls still count.",
                    ),
                ),
                ("enabled", models.BooleanField(default=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "ordering": ["priority", "name"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("weight__gte", 1)), name="upstream_weight_is_positive"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="UpstreamKey",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("label", models.CharField(max_length=60)),
                ("sealed", models.BinaryField()),
                ("weight", models.PositiveSmallIntegerField(default=100, validators=POSITIVE)),
                (
                    "requests_per_minute",
                    models.PositiveIntegerField(blank=True, null=True, validators=POSITIVE),
                ),
                (
                    "tokens_per_minute",
                    models.PositiveIntegerField(blank=True, null=True, validators=POSITIVE),
                ),
                ("enabled", models.BooleanField(default=True)),
                ("cooled_until", models.DateTimeField(blank=True, editable=False, null=True)),
                ("refused_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("last_error", models.CharField(blank=True, editable=False, max_length=300)),
                (
                    "upstream",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="keys",
                        to="gateway.upstream",
                    ),
                ),
            ],
            options={
                "ordering": ["upstream", "label"],
                "constraints": [
                    models.UniqueConstraint(fields=("upstream", "label"), name="upstream_key_label_once"),
                    models.CheckConstraint(
                        condition=models.Q(("weight__gte", 1)), name="upstream_key_weight_is_positive"
                    ),
                ],
            },
        ),
    ]
