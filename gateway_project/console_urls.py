"""The console's pages, each application's own under one roof, and the API's reference."""

from django.urls import URLPattern, URLResolver, path
from django.views.generic import RedirectView

from accounts import audit_views, workspace_views
from accounts import views as accounts
from analytics import views as analytics
from gateway_project import docs, views
from keys.views import events, gateway_keys, providers, webhooks
from rag.views import documents, evaluation, incoming, libraries, reembedding, search
from routing.views import cache, fleet, models, policies

urlpatterns: list[URLPattern | URLResolver] = [
    path("", views.home, name="home"),
    path("docs", docs.docs, name="docs"),
    path("redoc", docs.redoc, name="redoc"),
    path("docs/", RedirectView.as_view(pattern_name="docs")),
    path("redoc/", RedirectView.as_view(pattern_name="redoc")),
    path("favicon.ico", views.favicon, name="favicon"),
    path("console/", views.overview, name="overview"),
    path("console/checklist/", views.checklist, name="checklist"),
    # Accounts
    path("console/login/", accounts.login, name="login"),
    path("console/signup/", accounts.signup, name="signup"),
    path("console/logout/", accounts.logout, name="logout"),
    path("console/theme/", accounts.theme, name="theme"),
    path("console/account/", accounts.account, name="account"),
    path("console/account/password/", accounts.change_password, name="change-password"),
    path("console/team/", accounts.team, name="team"),
    path("console/team/members/", accounts.member_add, name="member-add"),
    path("console/team/members/<str:id>/role/", accounts.member_role, name="member-role"),
    path("console/team/members/<str:id>/remove/", accounts.member_remove, name="member-remove"),
    path("console/team/members/<str:id>/", workspace_views.member, name="member"),
    path("console/team/workspace/", workspace_views.settings, name="workspace"),
    path("console/team/members/<str:id>/reset/", workspace_views.reset_member_budget, name="member-reset"),
    path("console/team/workspace/limits/", workspace_views.limits, name="workspace-limits"),
    path("console/team/workspace/reset/", workspace_views.reset_budget, name="workspace-reset"),
    path("console/team/workspace/content/", workspace_views.content, name="workspace-content"),
    path("console/workspaces/", accounts.workspace_new, name="workspace-new"),
    path("console/workspaces/switch/", accounts.switch_workspace, name="switch-workspace"),
    path("console/audit/", audit_views.trail, name="audit"),
    # Events and webhooks
    path("console/events/", events.index, name="events"),
    path("console/webhooks/", webhooks.index, name="webhooks"),
    path("console/webhooks/new/", webhooks.new, name="webhook-new"),
    path("console/webhooks/<str:id>/", webhooks.detail, name="webhook"),
    path("console/webhooks/<str:id>/test/", webhooks.test, name="webhook-test"),
    path("console/webhooks/<str:id>/state/", webhooks.state, name="webhook-state"),
    path("console/webhooks/<str:id>/rotate/", webhooks.rotate, name="webhook-rotate"),
    path("console/webhooks/<str:id>/remove/", webhooks.remove, name="webhook-remove"),
    # Providers and gateway keys
    path("console/providers/", providers.index, name="providers"),
    path("console/providers/new/", providers.new, name="provider-new"),
    path("console/providers/demo/", providers.demo, name="provider-demo"),
    path("console/providers/<str:id>/", providers.detail, name="provider"),
    path("console/providers/<str:id>/test/", providers.test, name="provider-test"),
    path("console/providers/<str:id>/state/", providers.state, name="provider-state"),
    path("console/providers/<str:id>/remove/", providers.remove, name="provider-remove"),
    path("console/keys/", gateway_keys.index, name="gateway-keys"),
    path("console/keys/new/", gateway_keys.new, name="gateway-key-new"),
    path("console/keys/<str:id>/", gateway_keys.detail, name="gateway-key"),
    path("console/keys/<str:id>/reset/", gateway_keys.reset_budget, name="gateway-key-reset"),
    path("console/keys/<str:id>/rotate/", gateway_keys.rotate, name="gateway-key-rotate"),
    path("console/keys/<str:id>/revoke/", gateway_keys.revoke, name="gateway-key-revoke"),
    # Routing
    path("console/routing/", RedirectView.as_view(pattern_name="policies")),
    path("console/routing/policies/", policies.index, name="policies"),
    path("console/routing/policies/new/", policies.new, name="policy-new"),
    path("console/routing/policies/balanced/", policies.built_in, name="policy-built-in"),
    path("console/routing/policies/preview/", policies.preview, name="policy-preview"),
    path("console/routing/policies/<str:id>/", policies.detail, name="policy"),
    path("console/routing/policies/<str:id>/roll-back/", policies.roll_back, name="policy-roll-back"),
    path("console/routing/policies/<str:id>/remove/", policies.remove, name="policy-remove"),
    path("console/routing/models/", models.index, name="models"),
    path("console/routing/models/<path:model_id>/", models.detail, name="model"),
    path("console/routing/cache/", cache.index, name="cache"),
    path("console/routing/cache/purge/", cache.purge_answers, name="cache-purge"),
    path("console/routing/health/", fleet.board, name="fleet"),
    # Libraries and documents
    path("console/libraries/", libraries.index, name="libraries"),
    path("console/libraries/new/", libraries.new, name="library-new"),
    path("console/libraries/search/", search.search, name="library-search"),
    path("console/libraries/<str:id>/", documents.index, name="library"),
    path("console/libraries/<str:id>/settings/", libraries.settings, name="library-settings"),
    path("console/libraries/<str:id>/rechunk/", libraries.rechunk, name="library-rechunk"),
    path("console/libraries/<str:id>/remove/", libraries.remove, name="library-remove"),
    path("console/libraries/<str:id>/upload/", incoming.upload, name="library-upload"),
    path("console/libraries/<str:id>/text/", incoming.text, name="library-text"),
    path("console/libraries/<str:id>/url/", incoming.url, name="library-url"),
    path("console/libraries/<str:id>/progress/", documents.progress, name="library-progress"),
    path("console/libraries/<str:id>/bulk/", documents.bulk, name="library-bulk"),
    path("console/libraries/<str:id>/evaluation/", evaluation.evaluation, name="library-evaluation"),
    path("console/libraries/<str:id>/model/", reembedding.detail, name="library-reembedding"),
    path("console/libraries/<str:id>/model/progress/", reembedding.progress, name="library-reembedding-progress"),
    path("console/libraries/<str:id>/model/cancel/", reembedding.cancel, name="library-reembedding-cancel"),
    path("console/libraries/<str:id>/model/roll-back/", reembedding.roll_back, name="library-reembedding-back"),
    path("console/libraries/<str:id>/documents/<str:document_id>/", documents.detail, name="document"),
    path("console/libraries/<str:id>/documents/<str:document_id>/state/", documents.state, name="document-state"),
    path("console/libraries/<str:id>/documents/<str:document_id>/file/", documents.download, name="document-file"),
    path("console/libraries/<str:id>/documents/<str:document_id>/retry/", documents.retry, name="document-retry"),
    path("console/libraries/<str:id>/documents/<str:document_id>/cancel/", documents.cancel, name="document-cancel"),
    path("console/libraries/<str:id>/documents/<str:document_id>/remove/", documents.remove, name="document-remove"),
    # Analytics and requests
    path("console/analytics/", analytics.analytics, name="analytics"),
    path("console/requests/", analytics.requests, name="requests"),
    path("console/requests.csv", analytics.export, name="requests-csv"),
    path("console/requests/<str:id>/", analytics.request_detail, name="request"),
]
