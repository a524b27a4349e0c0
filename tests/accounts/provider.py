"""A small OpenID Connect provider over HTTP (Core 1.0, code flow with PKCE), signing RS256. It asks nobody anything."""

import asyncio
import base64
import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT_ID, CLIENT_SECRET = "autovibe", "provider-secret"


@dataclass
class Provider:
    """Runs in a thread of its own. `person` is who is signed in there: the claims about them."""

    person: dict[str, Any] = field(default_factory=dict)
    url: str = ""
    audience: str = CLIENT_ID
    refuses: bool = False
    asked: list[dict[str, str]] = field(default_factory=list)
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)
    _key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def start(self) -> None:
        ready = threading.Event()
        threading.Thread(target=self._serve, args=[ready], daemon=True).start()
        assert ready.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _serve(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        application = web.Application()
        application.add_routes(
            [
                web.get("/.well-known/openid-configuration", self._configuration),
                web.get("/authorize", self._authorize),
                web.post("/token", self._token),
                web.get("/userinfo", self._userinfo),
                web.get("/keys", self._keys),
            ]
        )
        runner = web.AppRunner(application)
        self._loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0)
        self._loop.run_until_complete(site.start())
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())

    async def _configuration(self, request: web.Request) -> web.Response:
        ends = {"authorization": "authorize", "token": "token", "userinfo": "userinfo"}
        told = {f"{name}_endpoint": f"{self.url}/{path}" for name, path in ends.items()}
        return web.json_response({"issuer": self.url, "jwks_uri": f"{self.url}/keys", **told})

    async def _authorize(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        self.asked.append(asked)
        if self.refuses:
            answer = {"error": "access_denied"}
        else:
            answer = {"code": f"code-{len(self.asked)}"}
            self._codes[answer["code"]] = asked
        raise web.HTTPFound(f"{asked['redirect_uri']}?{urlencode({**answer, 'state': asked['state']})}")

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        asked = self._codes.pop(str(form.get("code")), {})
        digest = hashlib.sha256(str(form.get("code_verifier")).encode()).digest()
        if (
            form.get("client_secret") != CLIENT_SECRET
            or base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != asked.get("code_challenge")
            or form.get("redirect_uri") != asked.get("redirect_uri")
        ):
            return web.json_response({"error": "invalid_grant"}, status=400)
        now = int(time.time())
        claims = {"iss": self.url, "aud": self.audience, "iat": now, "exp": now + 60, **self.person}
        token = jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": "1"})
        return web.json_response({"access_token": "access", "token_type": "Bearer", "id_token": token})

    async def _userinfo(self, request: web.Request) -> web.Response:
        known = request.headers.get("Authorization") == "Bearer access"
        return web.json_response(self.person, status=200 if known else 401)

    async def _keys(self, request: web.Request) -> web.Response:
        key = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
        return web.json_response({"keys": [{**key, "kid": "1", "alg": "RS256", "use": "sig"}]})
