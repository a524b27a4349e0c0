"""Where pages open their sockets."""

from django.urls import path

from dashboard.console import Relay
from dashboard.consumers import Doorbell

websocket_urlpatterns = [
    path("ws/", Doorbell.as_asgi()),
    path("ws/machines/<str:handle>/console/", Relay.as_asgi()),
]
