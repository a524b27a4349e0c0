"""Where pages open their socket."""

from django.urls import path

from dashboard.consumers import Doorbell

websocket_urlpatterns = [path("ws/", Doorbell.as_asgi())]
