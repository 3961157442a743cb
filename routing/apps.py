from typing import Any

from django.apps import AppConfig


class RoutingConfig(AppConfig):
    name = "routing"

    def ready(self) -> None:
        from accounts.services import workspace_created
        from accounts.spending import register_spending
        from analytics.content import register_opener
        from analytics.models import RequestContent
        from keys.live import register_live
        from keys.policies import register_policies
        from keys.probe import register_prober
        from keys.vault import register_sealed
        from keys.webhooks.posting import register_poster
        from rag.ingest.reading import register_ocr
        from rag.services import on_documents_gone
        from routing.content import opened
        from routing.discovery import probe_now
        from routing.live import refused_secrets, unserved_models
        from routing.models import IdempotentRequest
        from routing.posting import post_now
        from routing.services import named_policy, policy_names
        from routing.spending import spending

        register_prober(probe_now)
        register_poster(post_now)
        register_spending(spending)
        register_policies(named_policy, policy_names)
        register_live(refused_secrets, unserved_models)
        register_ocr(page_reader)
        # Answers, each of up to some megabytes.
        register_sealed(IdempotentRequest, "sealed", batch=10)
        register_sealed(RequestContent, "sealed", batch=10)
        register_opener(opened)
        on_documents_gone(forget_quotes)
        # After keys' own receiver, which makes the providers: receivers are called in the order of INSTALLED_APPS.
        workspace_created.connect(discover_soon, dispatch_uid="routing.discover_soon")


def page_reader(*asked: Any) -> Any:
    """Who reads the pictures of text in a document."""
    from routing.pages.asking import reader_of

    return reader_of(*asked)


def forget_quotes(*gone: Any) -> None:
    """Documents are gone, and with them what was answered from them."""
    from routing.grounding.forgetting import forget

    forget(*gone)


def discover_soon(workspace: Any, **kwargs: Any) -> None:
    """Have the models of providers from the environment listed right after sign-up, not at the beat's next round."""
    from django.db import transaction

    from routing.tasks import discover_models

    if workspace.providers.filter(from_environment=True).exists():
        # A broker that is away must not fail a sign-up.
        transaction.on_commit(discover_models.delay, robust=True)
