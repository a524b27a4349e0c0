"""A machine's receipt, to be kept elsewhere."""

import json

from django.http import HttpResponse
from django.views.decorators.http import require_GET

from dashboard.pages import PageRequest, page
from gateway.receipts import build
from machines import actions


@require_GET
@page
def download(request: PageRequest, handle: str) -> HttpResponse:
    """As a file; of a machine that goes on, what there is so far."""
    found = actions.find(handle, user=request.user)
    made = build.receipt(found, by=request.user, so_far=not found.ended)
    response = HttpResponse(json.dumps(made, indent=1, ensure_ascii=False), content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="{found.handle}.receipt.json"'
    return response
