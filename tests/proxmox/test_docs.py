"""What docs/proxmox.md tells people to do is what works."""

import doctest
import re
from pathlib import Path

import trustme

from proxmox.diagnosis import roles
from tests.node_process import TOKEN, start_node

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "proxmox.md").read_text()


def test_the_session_by_hand_goes_as_it_is_written(tmp_path: Path):
    authority, state = trustme.CA(), tmp_path / "node"
    certificate = authority.issue_cert("127.0.0.1")
    state.mkdir()
    authority.cert_pem.write_to_path(str(state / "cert.pem"))
    certificate.private_key_and_cert_chain_pem.write_to_path(str(state / "both.pem"))
    (state / "token").write_text(TOKEN)
    (session,) = re.findall(r"```pycon\n(.*?)```", PAGE, re.DOTALL)

    with start_node(state, tls_cert=state / "both.pem") as node:
        there = session.replace("127.0.0.1:8106", node.url.removeprefix("https://"))
        there = there.replace("var/by-hand", str(state))
        test = doctest.DocTestParser().get_doctest(there, {}, "docs/proxmox.md", None, 0)
        told: list[str] = []
        result = doctest.DocTestRunner().run(test, out=told.append)

    assert result.attempted > 20
    assert result.failed == 0, "".join(told)


def test_the_rights_are_those_that_the_check_asks_for():
    user, token = "autovibe@pve", "autovibe@pve!ci"
    needs = [
        *(roles.on_pool("autovibe", release) for release in (8, 9)),
        roles.on_template(9000),
        roles.on_storage("local-lvm"),
        roles.on_bridge("vmbr0"),
        roles.on_cluster(),
    ]

    commands = [command for need in needs for command in roles.grant(need, user=user, token_id=token)]

    assert [command for command in commands if command.partition(" || ")[0] not in PAGE] == []
