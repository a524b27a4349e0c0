"""Which servers an upstream's address may lead to, whatever a name server says, and when."""

import asyncio
import ipaddress
import socket
from typing import Any

import pytest

from gateway.upstreams import actions, outgoing, transport
from gateway.upstreams.registry import Target
from projects.errors import Invalid
from tests.gateway.provider import Provider
from tests.gateway.servers import provider as playing

USUAL = [("127.0.0.0/8", 0), ("10.0.0.0/8", 0)]


def allowed(address: str, port: int = 443) -> bool:
    return outgoing.is_allowed(ipaddress.ip_address(address), port)


class TestAddresses:
    @pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111"])
    def test_public_ones_are_open(self, settings: Any, address: str) -> None:
        settings.OUTGOING_ALLOW = []
        assert allowed(address)

    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1", "::1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "fd00::1", "0.0.0.0", "::", "100.64.0.1",
            "169.254.1.1", "fe80::1", "224.0.0.1", "ff02::1", "255.255.255.255", "::ffff:10.1.2.3",
            "64:ff9b::a01:203", "2002:a01:203::1",
        ],
    )  # fmt: skip
    def test_others_are_not_unless_named(self, settings: Any, address: str) -> None:
        settings.OUTGOING_ALLOW = []
        assert not allowed(address)

    def test_a_network_may_be_named_or_one_port_of_a_server(self, settings: Any) -> None:
        settings.OUTGOING_ALLOW = [("10.0.0.0/8", 0), ("192.168.1.5/32", 11434)]

        assert allowed("10.1.2.3")
        assert allowed("::ffff:10.1.2.3")
        assert allowed("192.168.1.5", 11434)
        assert not allowed("192.168.1.5", 22)
        assert not allowed("192.168.1.6", 11434)

    @pytest.mark.parametrize("address", sorted(map(str, outgoing.METADATA)))
    def test_what_hands_out_a_clouds_credentials_is_closed_within_a_network_too(
        self, settings: Any, address: str
    ) -> None:
        wide = "fc00::/7" if ":" in address else ipaddress.ip_network(f"{address}/8", strict=False)
        settings.OUTGOING_ALLOW = [(str(wide), 0)]
        assert not allowed(address)

        settings.OUTGOING_ALLOW = [(address, 0)]
        assert allowed(address)


class TestAsking:
    """Over real connections; names are given addresses where the operating system would."""

    @pytest.fixture
    def server(self) -> Any:
        with playing() as made:
            yield made

    def ask(self, url: str) -> int:
        async def asked() -> int:
            target = Target("local", "", url, frozenset({"messages"}), free=True)
            try:
                async with transport.ask(target, "GET", "/v1/models", dialect="messages") as response:
                    return response.status
            finally:
                await transport.close()

        return asyncio.run(asked())

    def test_a_server_of_ones_own_is_reached_where_it_is_allowed(
        self, settings: Any, server: Provider
    ) -> None:
        settings.OUTGOING_ALLOW = USUAL
        assert self.ask(server.url) == 200

        settings.OUTGOING_ALLOW = []
        with pytest.raises(transport.NotSent, match=r"127\.0\.0\.1 is no address that upstreams may have"):
            self.ask(server.url)
        assert len(server.received) == 1

    def test_a_name_is_what_it_leads_to(self, settings: Any, server: Provider) -> None:
        settings.OUTGOING_ALLOW = []

        with pytest.raises(transport.NotSent, match="OUTGOING_ALLOW"):
            self.ask(server.url.replace("127.0.0.1", "localhost"))
        assert not server.received

    def test_a_name_server_that_changes_its_mind_changes_nothing(
        self, settings: Any, server: Provider, monkeypatch: Any
    ) -> None:
        """Whoever looks a name up to check it, and once more to connect, is told another address then."""
        settings.OUTGOING_ALLOW = []
        told = self.rebinding(monkeypatch, ["8.8.8.8", "127.0.0.1"])

        # Our own look first, as a check at the time of writing would be: all is well.
        address = socket.getaddrinfo("rebinding.example", 443)[0][4][0]
        outgoing.require(ipaddress.ip_address(address), 443)

        with pytest.raises(transport.NotSent, match=r"127\.0\.0\.1 is no address"):
            self.ask(server.url.replace("127.0.0.1", "rebinding.example"))
        assert told == []  # both answers were given
        assert not server.received

    def test_of_several_addresses_only_those_that_are_allowed_are_tried(
        self, settings: Any, server: Provider, monkeypatch: Any
    ) -> None:
        settings.OUTGOING_ALLOW = [("127.0.0.1/32", 0)]
        self.rebinding(monkeypatch, ["169.254.169.254 127.0.0.1"])

        assert self.ask(server.url.replace("127.0.0.1", "several.example")) == 200

    @staticmethod
    def rebinding(monkeypatch: Any, answers: list[str]) -> list[str]:
        """Give `*.example` these addresses, one answer after the other."""
        asked = socket.getaddrinfo

        def getaddrinfo(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
            if not str(host).endswith(".example"):
                return asked(host, port, *rest, **more)
            stream = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
            return [(*stream, (address, int(port))) for address in answers.pop(0).split()]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        return answers


class TestSaying:
    """What is refused when it is written down already."""

    @pytest.mark.parametrize(
        "url",
        [
            "http://169.254.169.254",
            "http://[fd00:ec2::254]/v1",
            "http://[::ffff:169.254.169.254]",
            "http://0.0.0.0",
        ],
    )
    def test_an_address_that_could_never_be_called(self, url: str) -> None:
        with pytest.raises(Invalid, match="OUTGOING_ALLOW"):
            actions.require_address(url)

    def test_a_password_in_an_address(self) -> None:
        with pytest.raises(Invalid, match="key of the upstream"):
            actions.require_address("https://user:secret@api.example.com")

    @pytest.mark.parametrize(
        "url", ["https://api.example.com", "http://10.0.0.5:11434", "http://ollama:11434"]
    )
    def test_what_may_be_is_taken(self, url: str) -> None:
        actions.require_address(url)
