"""Where pages open their sockets."""

from channels.security.websocket import WebsocketDenier
from django.urls import path, re_path

from dashboard.console import Relay
from dashboard.consumers import Doorbell
from dashboard.wall.socket import WallBell

websocket_urlpatterns = [
    path("ws/", Doorbell.as_asgi()),
    path("ws/wall/", WallBell.as_asgi()),
    path("ws/machines/<str:handle>/console/", Relay.as_asgi()),
    re_path("", WebsocketDenier.as_asgi()),  # Channels has an error, and a traceback, where nothing fits
]
