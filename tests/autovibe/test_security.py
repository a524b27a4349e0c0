"""What production is set to, as Django's and our own checks see it, and what browsers are told with every answer."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.test import Client

from autovibe import security
from autovibe.asgi import application

ROOT = Path(__file__).resolve().parents[2]
GOOD = {
    "DEBUG": "0",
    "SECRET_KEY": "J8f2kq0vXw7sLm3ZrT9yBn5cHd1gEp6uAo4iVxQeRtYuIoPaSd",
    "HTTPS": "1",
    "ALLOWED_HOSTS": "autovibe.example.com",
    "PROXMOX_URL": "https://pve.example.com:8006",
    "METRICS_TOKEN": "",
}


def deploy_check(**changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT,
        env={**os.environ, **GOOD, **changes},
        capture_output=True,
        text=True,
        timeout=120,
    )


class TestProduction:
    def test_it_passes_all_checks(self) -> None:
        checked = deploy_check()

        assert checked.returncode == 0, checked.stderr

    def test_what_is_wrong_is_named(self) -> None:
        checked = deploy_check(
            SECRET_KEY="not-secret-good-for-checks-only",
            ALLOWED_HOSTS="*",
            CSRF_TRUSTED_ORIGINS="http://autovibe.example.com",
            METRICS_TOKEN="short",
            PROXMOX_URL="http://pve.example.com:8006,https://pve2.example.com:8006",
            PROXMOX_VERIFY_TLS="0",
        )

        assert checked.returncode == 1
        for name in ("E001", "W001", "W002", "W003", "W004", "W005"):
            assert f"autovibe.{name}" in checked.stderr

    def test_inline_code_in_pages_would_be_noticed(self, settings: Any) -> None:
        assert "autovibe.W006" not in [found.id for found in security.check()]
        settings.CONTENT_SECURITY_POLICY = {"DIRECTIVES": {"script-src": ["'self'", "'unsafe-inline'"]}}

        assert "autovibe.W006" in [found.id for found in security.check()]


class TestStarting:
    async def started(self) -> dict[str, Any]:
        server = ApplicationCommunicator(application, {"type": "lifespan"})
        await server.send_input({"type": "lifespan.startup"})
        said: dict[str, Any] = await server.receive_output(timeout=5)
        return said

    async def test_nothing_is_served_with_the_key_that_everybody_knows(self, settings: Any) -> None:
        settings.SECRET_KEY, settings.DEBUG = security.NOT_SECRET, False

        said = await self.started()

        assert said["type"] == "lifespan.startup.failed"
        assert "SECRET_KEY is not set" in said["message"]

    async def test_otherwise_it_starts(self) -> None:
        assert (await self.started())["type"] == "lifespan.startup.complete"


class TestHeaders:
    @pytest.fixture
    def headers(self, client: Client, db: None) -> Any:
        return client.get("/sign-in/").headers

    def test_no_inline_code_and_no_frames(self, headers: Any) -> None:
        policy = headers["Content-Security-Policy"]

        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "object-src 'none'" in policy
        assert "base-uri 'none'" in policy
        assert "unsafe" not in policy
        assert headers["X-Frame-Options"] == "DENY"

    def test_nothing_is_sniffed_lent_or_told_to_others(self, headers: Any) -> None:
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "camera=()" in headers["Permissions-Policy"]

    def test_cookies_are_for_us_alone(self, client: Client, db: None) -> None:
        cookies = client.get("/sign-in/").cookies

        assert cookies
        for cookie in cookies.values():
            assert cookie["httponly"]
            assert cookie["samesite"] == "Lax"

    def test_behind_tls_plain_requests_are_sent_there_and_browsers_remember(
        self, client: Client, db: None, settings: Any
    ) -> None:
        settings.SECURE_SSL_REDIRECT, settings.SECURE_HSTS_SECONDS = True, 60

        assert client.get("/sign-in/").headers["Location"] == "https://testserver/sign-in/"
        assert client.get("/sign-in/", secure=True).headers["Strict-Transport-Security"] == "max-age=60"
        assert "Location" not in client.get("/healthz").headers


class TestTemplates:
    """What the policy would block, and what would let an agent's text be code."""

    @pytest.mark.parametrize(
        "path", sorted((ROOT / "templates").rglob("*.html")), ids=lambda path: str(path.relative_to(ROOT))
    )
    def test_nothing_is_inline_and_everything_is_escaped(self, path: Path) -> None:
        text = path.read_text()

        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:", text)
        assert not re.search(r"<script(?![^>]*\ssrc=)(?![^>]*type=.application/json)", text)
        assert not re.search(r"\|\s*safe\b|autoescape\s+off", text)
