"""How the driver gets to Proxmox: endpoints, trust, time-outs, and answers that are none."""

import hashlib
import logging
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from proxmox import errors
from proxmox.driver import VM
from proxmox.pve import PveDriver, endpoint, http
from tests.proxmox.recorder import checked  # noqa: F401
from tests.proxmox.scripted import Answer, Asked, Script, Server, free_port, scripted

pytestmark = pytest.mark.usefixtures("checked")

TOKEN = "autovibe@pve!ci=the-secret"
VERSION = Answer(body='{"data":{"version":"9.2.11","release":"9.2"}}')
OURS = Answer(body='{"data":{"tags":"autovibe","description":"me"}}')
MINE = VM("pve1", 100, "me")


def as_proxmox(asked: Asked) -> Answer:
    return VERSION if asked.path.endswith("/version") else OURS


@pytest.fixture
def server() -> Iterator[Server]:
    with scripted(as_proxmox) as running:
        yield running


class TestEndpoints:
    def test_one_that_nobody_listens_at_is_passed_over(self, server):
        driver = PveDriver([f"http://127.0.0.1:{free_port()}", server.url], TOKEN)

        assert driver.version() == "9.2.11"
        assert driver.start(MINE) is None

    def test_they_may_be_one_string_as_in_the_environment(self, server):
        assert PveDriver(f"http://127.0.0.1:{free_port()}, {server.url}/", TOKEN).version() == "9.2.11"

    def test_the_one_that_answers_is_kept_for_a_while_and_then_the_first_is_tried_again(
        self, server, monkeypatch
    ):
        first = free_port()
        driver = PveDriver([f"http://127.0.0.1:{first}", server.url], TOKEN)
        driver.version()

        with scripted(as_proxmox, port=first) as back:
            driver.version()
            assert not back.asked
            monkeypatch.setattr(http.time, "monotonic", lambda: float("inf"))
            driver.version()
            assert len(back.asked) == 1

    def test_where_the_request_may_have_been_read_nobody_else_is_asked(self, server):
        with scripted(lambda asked: Answer(hang_up=True)) as deaf:
            with pytest.raises(errors.UnknownOutcome):
                PveDriver([deaf.url, server.url], TOKEN).start(MINE)

            assert len(deaf.asked) == 1
        assert not server.asked

    def test_when_none_can_be_reached_all_are_named_and_nothing_was_done(self):
        urls = [f"http://127.0.0.1:{free_port()}" for _ in range(2)]

        with pytest.raises(errors.Transient) as caught:
            PveDriver(urls, TOKEN).start(MINE)

        assert all(url in str(caught.value) for url in urls)

    @pytest.mark.parametrize("url", ["pve1:8006", "", "ftp://pve1", "https://"])
    def test_nonsense_is_refused_with_an_example(self, url):
        with pytest.raises(errors.Refused, match="no address such as https"):
            PveDriver(url, TOKEN)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def certificate(authority: trustme.CA) -> trustme.LeafCert:
    return authority.issue_cert("127.0.0.1")


@pytest.fixture
def secure(certificate: trustme.LeafCert) -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    with scripted(as_proxmox, tls=context) as running:
        yield running


@pytest.fixture
def fingerprint(certificate: trustme.LeafCert) -> str:
    shown = ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())
    return hashlib.sha256(shown).hexdigest()


class TestTrust:
    def test_a_certificate_of_an_unknown_authority_is_refused_before_anything_is_sent(self, secure):
        with pytest.raises(errors.Refused, match="PROXMOX_FINGERPRINT or PROXMOX_VERIFY_TLS"):
            PveDriver(secure.url, TOKEN).version()

        assert not secure.asked

    def test_the_authority_may_be_a_file(self, secure, authority, tmp_path: Path):
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

        assert PveDriver(secure.url, TOKEN, verify_tls=str(tmp_path / "ca.pem")).version() == "9.2.11"

    @pytest.mark.parametrize("spelt", [str.lower, str.upper, lambda pin: bytes.fromhex(pin).hex(":")])
    def test_a_pinned_certificate_needs_no_authority(self, secure, fingerprint, spelt):
        driver = PveDriver(secure.url, TOKEN, fingerprint=spelt(fingerprint))

        assert driver.version() == "9.2.11"
        assert driver.start(MINE) is None

    def test_another_certificate_than_the_pinned_one_is_sent_nothing(self, secure, fingerprint):
        other = fingerprint.translate(str.maketrans("0123456789abcdef", "123456789abcdef0"))
        driver = PveDriver(secure.url, TOKEN, fingerprint=other)

        for act in (driver.version, lambda: driver.start(MINE)):
            with pytest.raises(errors.Refused, match="nothing was sent"):
                act()

        assert not secure.asked

    def test_where_one_is_not_trusted_the_next_is_asked(self, secure, fingerprint):
        pins = f"{'0' * 64},{fingerprint}"

        assert PveDriver([secure.url, secure.url], TOKEN, fingerprint=pins).version() == "9.2.11"
        assert len(secure.asked) == 1

    def test_each_endpoint_may_have_its_own_fingerprint(self, secure, fingerprint):
        urls = [f"https://127.0.0.1:{free_port()}", secure.url]

        assert PveDriver(urls, TOKEN, fingerprint=f"{'0' * 64},{fingerprint}").version() == "9.2.11"

    @pytest.mark.parametrize(
        ("pins", "why"),
        [("AA:BB", "64 hexadecimal digits"), (f"{'0' * 64}," * 2 + "0" * 64, "3 fingerprints for 2")],
    )
    def test_a_fingerprint_that_cannot_be_one_is_refused_at_once(self, pins, why):
        with pytest.raises(errors.Refused, match=why):
            PveDriver("https://a,https://b", TOKEN, fingerprint=pins)


def saying(*answers: Answer) -> Script:
    """One answer after the other; the last one for ever."""
    left = list(answers)
    return lambda asked: left.pop(0) if len(left) > 1 else left[0]


class TestAnswers:
    def test_all_lines_of_a_message_are_told_not_only_the_reason_phrase(self):
        answer = Answer(
            500, '{"data":null,"message":"start failed: no\\nbecause of this\\n"}', "start failed: no"
        )
        with scripted(saying(answer)) as server, pytest.raises(errors.ProxmoxError, match="because of this"):
            PveDriver(server.url, TOKEN).version()

    def test_what_is_wrong_with_a_parameter_is_told(self):
        body = '{"data":null,"message":"Parameter verification failed.\\n","errors":{"cores":"must be a number\\n"}}'
        answer = Answer(400, body, "Parameter verification failed.")
        with (
            scripted(saying(answer)) as server,
            pytest.raises(errors.Refused, match=r"verification failed\. cores: must be a number$"),
        ):
            PveDriver(server.url, TOKEN).configure(MINE, {"cores": 2})

    def test_a_token_that_is_not_accepted_is_told_with_the_setting(self):
        answer = Answer(401, "", "Authentication failed!")
        with (
            scripted(saying(answer)) as server,
            pytest.raises(errors.Refused, match=r"Authentication failed!.*PROXMOX_TOKEN"),
        ):
            PveDriver(server.url, TOKEN).version()

    def test_a_redirection_is_not_followed(self, server):
        there = Answer(302, "", headers={"Location": f"{server.url}/login"})
        with scripted(saying(there)) as elsewhere, pytest.raises(errors.Refused, match="redirects to"):
            PveDriver(elsewhere.url, TOKEN).version()

        assert not server.asked

    @pytest.mark.parametrize("body", ["<html>hello</html>", "", '{"errors":{}}', "[]", '{"data":'])
    def test_a_page_that_is_no_answer_of_proxmox_is_not_taken_for_one(self, body):
        with scripted(saying(Answer(200, body))) as server:
            with pytest.raises(errors.UnknownOutcome, match="PROXMOX_URL is the API of a node"):
                PveDriver(server.url, TOKEN).start(MINE)

            assert len(server.asked) == 1

    @pytest.mark.parametrize("lost", [Answer(hang_up=True), Answer(596, "", "Broken pipe"), Answer(200, "x")])
    def test_a_lost_answer_is_asked_for_again_where_that_does_no_harm(self, lost):
        with scripted(saying(lost, lost, VERSION)) as server:
            assert PveDriver(server.url, TOKEN).version() == "9.2.11"
            assert len(server.asked) == 3

    def test_a_node_that_hangs_is_not_asked_again(self, monkeypatch):
        monkeypatch.setattr(http, "SLOW_SECONDS", -1)
        with scripted(saying(Answer(596, "", "Connection timed out"))) as server:
            with pytest.raises(errors.UnknownOutcome):
                PveDriver(server.url, TOKEN).version()

            assert len(server.asked) == 1

    @pytest.mark.parametrize("lost", [Answer(hang_up=True), Answer(596, "", "Connection timed out")])
    def test_a_write_is_sent_once_and_its_outcome_is_unknown(self, lost):
        with scripted(saying(lost)) as server:
            with pytest.raises(errors.UnknownOutcome):
                PveDriver(server.url, TOKEN).start(MINE)

            assert len(server.asked) == 1

    def test_a_node_behind_this_one_that_is_down_was_not_asked(self):
        answer = Answer(595, "", "No route to host")
        with scripted(saying(answer)) as server, pytest.raises(errors.Transient, match="No route to host"):
            PveDriver(server.url, TOKEN).start(MINE)

    def test_an_answer_is_waited_for_longer_than_proxmox_itself_waits(self, monkeypatch):
        assert endpoint.READ_SECONDS > 30
        monkeypatch.setattr(endpoint, "READ_SECONDS", 0.1)
        over = threading.Event()

        def never(asked: Asked) -> Answer:
            over.wait(10)
            return VERSION

        with scripted(never) as server:
            with pytest.raises(errors.UnknownOutcome, match="did not answer"):
                PveDriver(server.url, TOKEN).start(MINE)
            over.set()

    def test_connections_that_the_server_gave_up_cost_nothing(self):
        gone = Answer(body=VERSION.body, silently=True)
        with scripted(saying(gone)) as server:
            driver = PveDriver(server.url, TOKEN)

            assert [driver.version() for _ in range(3)] == ["9.2.11"] * 3

    def test_each_write_has_a_connection_of_its_own(self, server):
        driver = PveDriver(server.url, TOKEN)
        driver.start(MINE)

        assert server.asked[-1].headers["Connection"] == "close"


class TestWhatIsSent:
    def test_booleans_are_numbers_and_nothing_is_not_sent(self, server):
        PveDriver(server.url, TOKEN).annotate_backup("pve1", "local:backup/x", notes="n", protected=True)
        assert server.asked[-1].body == "notes=n&protected=1"

        PveDriver(server.url, TOKEN).delete_volume("pve1", "local:iso/x.iso")
        assert server.asked[-1].path.endswith("/storage/local/content/local:iso/x.iso")

        PveDriver(server.url, TOKEN).download("pve1", "local", "https://x", "x.iso", content="iso")
        assert server.asked[-1].body == "content=iso&filename=x.iso&url=https%3A%2F%2Fx"

    def test_the_token_is_a_header(self, server):
        PveDriver(server.url, TOKEN).version()

        assert server.asked[-1].headers["Authorization"] == f"PVEAPIToken={TOKEN}"

    def test_secrets_are_never_logged(self, server, caplog):
        with caplog.at_level(logging.DEBUG):
            for name in ("proxmoxer", "proxmoxer.core"):
                logging.getLogger(name).setLevel(logging.DEBUG)
            PveDriver(server.url, TOKEN).configure(MINE, {"cipassword": "very-secret"})
            PveDriver(server.url, TOKEN).write(MINE, "/etc/token", b"very-secret")

        assert "very-secret" not in caplog.text
        assert "dmVyeS1zZWNyZXQ" not in caplog.text  # the same in base64
        assert TOKEN.partition("=")[2] not in caplog.text
