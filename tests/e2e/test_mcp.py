"""Agents that use autovibe themselves: the SDK's own client, as each role, and a machine with its own token."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
import requests
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from tests.e2e.stack import NODE_SECRET, Stack

pytestmark = pytest.mark.e2e

ROLES = """
import json
from projects import actions
from projects.models import ApiToken, Project, User
from projects.roles import Role
admin, demo = User.objects.get(username="admin"), Project.objects.get(slug="demo")
actions.set_machine_role(demo, Role.MEMBER, by=admin)
keys = {}
for name in ("operator", "member", "viewer", "outsider"):
    user = User.objects.create_user(name)
    if name != "outsider":
        actions.admit(demo, user, Role(name), by=admin)
    keys[name] = ApiToken.mint(user, "mcp")[1]
keys["reads"] = ApiToken.mint(User.objects.get(username="operator"), "bounded", scopes=["view_project"])[1]
print(json.dumps(keys))
"""
HOW = """
from events.models import Event
event = Event.objects.get(subject="machine:%s", kind="machine.requested")
print(event.interface, event.actor)
"""
# What an agent in a guest does: no SDK, one request, with what its machine was given.
FROM_INSIDE = """
cat > ask.py <<'END'
import glob, json, os, urllib.request
(found,) = glob.glob(os.environ.get("GUEST_ROOT", "") + "/var/lib/autovibe/runs/*/settings.json")
given = json.load(open(found))
def call(tool, **arguments):
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
    request = urllib.request.Request(given["gateway"] + "/mcp", json.dumps(body).encode(), {
        "Authorization": "Bearer " + given["token"], "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream"})
    lines = urllib.request.urlopen(request).read().decode().splitlines()
    return json.loads([line for line in lines if "jsonrpc" in line][-1].removeprefix("data: "))["result"]
print("sees", [one["slug"] for one in call("list_projects")["structuredContent"]["projects"]])
made = call("spawn", project="demo", type="shell", prompt="echo from inside")["structuredContent"]
print("spawned", made["handle"])
print("ended", call("wait", machine=made["handle"], seconds=60)["structuredContent"]["machine"]["state"])
print("refused", call("spawn", project="nothing", type="shell", prompt="true")["content"][0]["text"])
END
python3 ask.py
"""


@pytest.fixture(scope="module")
def keys(stack: Stack) -> dict[str, str]:
    """A token of each role in the project demo, and one that may only look."""
    said = stack.manage("shell", "-v", "0", "-c", ROLES).strip().splitlines()[-1]
    return {"admin": stack.token, **json.loads(said)}


@asynccontextmanager
async def agent(stack: Stack, token: str, **options: Any) -> AsyncIterator[Client]:
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=120) as http:
        transport = streamable_http_client(f"{stack.url}/mcp", http_client=http)
        async with Client(transport, **options) as client:
            yield client


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """What the tool answered; a refusal fails the test."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    assert result.structured_content is not None
    return dict(result.structured_content)


async def refusal(client: Client, tool: str, **arguments: Any) -> str:
    result = await client.call_tool(tool, arguments)
    assert result.is_error, result.structured_content
    return str(result.content[0].text)


class TestMainJob:
    @pytest.mark.parametrize("mode", ["auto", pytest.param("legacy", marks=pytest.mark.whole)])
    async def test_an_agent_spawns_waits_reads_and_branches(
        self, stack: Stack, keys: dict[str, str], mode: str
    ) -> None:
        told: list[str] = []

        async def hear(progress: float, total: float | None, message: str | None) -> None:
            told.append(message or "")

        async with agent(stack, keys["member"], mode=mode) as client:
            prompt = "echo one > a.txt; echo here it is"
            made = await call(client, "spawn", project="demo", type="shell", prompt=prompt)
            waited = await client.call_tool(
                "wait", {"machine": made["handle"], "seconds": 90}, progress_callback=hear
            )
            machine = waited.structured_content["machine"]
            assert (machine["state"], machine["rests"]) == ("terminated", True)
            assert any("here it is" in line["text"] for line in waited.structured_content["log"])
            assert any(f"{made['handle']} is " in message for message in told)

            (first,) = (await call(client, "list_checkpoints", machine=made["handle"]))["checkpoints"]
            files = await call(client, "list_files", checkpoint=first["handle"])
            assert [one["path"] for one in files["files"]] == ["a.txt"]
            read = await call(client, "read_file", checkpoint=first["handle"], path="a.txt")
            assert (read["content"], read["encoding"], read["bytes"]) == ("one\n", "utf-8", 4)

            branch = await call(client, "branch", checkpoint=first["handle"], prompt="echo two >> a.txt")
            ended = await call(client, "wait", machine=branch["handle"], seconds=90)
            after = ended["machine"]["present"]
            changed = await call(client, "diff", before=first["handle"], after=after)
            assert changed["totals"]["modified"] == 1
            assert "+two" in changed["changes"][0]["diff"]
            log = await client.read_resource(f"autovibe://machines/{made['handle']}/log")
            assert "here it is" in log.contents[0].text
            file = await client.read_resource(f"autovibe://checkpoints/{after}/files/a.txt")
            assert file.contents[0].text == "one\ntwo\n"

    async def test_it_acts_on_machines_and_a_wait_comes_to_an_end_of_its_own(
        self, stack: Stack, keys: dict[str, str]
    ) -> None:
        async with agent(stack, keys["operator"]) as client:
            made = await call(client, "spawn", project="demo", type="shell", prompt="sleep 600")
            handle = made["handle"]
            stack.await_state(handle, "running")
            waited = await call(client, "wait", machine=handle, seconds=1)
            assert waited["machine"]["rests"] is False
            await call(client, "pause", machine=handle)
            assert (await call(client, "wait", machine=handle, seconds=60))["machine"]["state"] == "paused"
            assert "not possible now" in await refusal(client, "pause", machine=handle)
            await call(client, "terminate", machine=handle)
            ended = await call(client, "wait", machine=handle, seconds=60)
            assert ended["machine"]["state"] == "terminated"

    async def test_an_agent_is_told_more_and_a_script_is_not(
        self, stack: Stack, keys: dict[str, str]
    ) -> None:
        async with agent(stack, keys["operator"]) as client:
            asked = {"project": "demo", "type": "vibe", "prompt": "Write a fizzbuzz"}
            made = await call(client, "spawn", **asked, options={"limits": {"calls": 1}})
            waited = await call(client, "wait", machine=made["handle"], seconds=90)
            assert waited["machine"]["state"] == "paused"
            said = await call(client, "message", machine=made["handle"], text="Now make it buzz at 7")
            assert (said["state"], "goes on" in said["told"]) == ("pending", True)

            script = await call(client, "spawn", project="demo", type="shell", prompt="sleep 600")
            stack.await_state(script["handle"], "running")
            assert await refusal(client, "message", machine=script["handle"], text="Go on")

    async def test_the_same_key_again_gives_the_same_machine(
        self, stack: Stack, keys: dict[str, str]
    ) -> None:
        asked = {"project": "demo", "type": "shell", "prompt": "true", "key": "mcp-once"}
        async with agent(stack, keys["member"]) as client:
            first, again = [await call(client, "spawn", **asked) for _ in range(2)]
        assert first["handle"] == again["handle"]

    async def test_money_is_in_units_of_the_currency(self, stack: Stack, keys: dict[str, str]) -> None:
        async with agent(stack, keys["member"]) as client:
            options = {"limits": {"money": 1.5, "calls": 3}}
            made = await call(client, "spawn", project="demo", type="shell", prompt="true", options=options)
            limits = (await call(client, "budget_left", project="demo"))["limits"]
            as_resource = await client.read_resource("autovibe://projects/demo/budget")
        own = {one["resource"]: one["limit"] for one in limits if made["handle"] in one["scope"]}
        assert own == {"money": 1.5, "calls": 3}
        assert made["handle"] in as_resource.contents[0].text


class TestRights:
    async def test_a_viewer_looks_and_is_refused_in_the_api_s_words(
        self, stack: Stack, keys: dict[str, str]
    ) -> None:
        api = stack.call(
            "POST",
            "machines/",
            json={"project": "demo", "type": "shell", "prompt": "true"},
            headers={"Authorization": f"Bearer {keys['viewer']}"},
        )
        assert api.status_code == 403
        for holder in ("viewer", "reads"):  # the second is an operator's token that may only look
            async with agent(stack, keys[holder]) as client:
                assert "demo" in {one["slug"] for one in (await call(client, "list_projects"))["projects"]}
                said = await refusal(client, "spawn", project="demo", type="shell", prompt="true")
            assert said == api.json()["detail"]

    async def test_an_outsider_sees_nothing(self, stack: Stack, keys: dict[str, str]) -> None:
        handle = stack.spawn("true", "shell")
        async with agent(stack, keys["outsider"]) as client:
            assert (await call(client, "list_projects"))["projects"] == []
            assert (await call(client, "list_machines"))["machines"] == []
            assert "There is no machine" in await refusal(client, "show_machine", machine=handle)
            assert "There is no project" in await refusal(client, "budget_left", project="demo")
            with pytest.raises(Exception, match="There is no machine"):
                await client.read_resource(f"autovibe://machines/{handle}/log")

    async def test_names_are_names_and_no_paths(self, stack: Stack, keys: dict[str, str]) -> None:
        handle = stack.spawn("true", "shell")
        async with agent(stack, keys["operator"]) as client:
            assert "not a name" in await refusal(client, "show_machine", machine=f"{handle}/log")

    @pytest.mark.parametrize("token", ["", "av_unknown", "avm_unknown"])
    def test_nobody_gets_in_without_a_token_and_hears_why(self, stack: Stack, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = requests.post(f"{stack.url}/mcp", json={}, headers=headers, timeout=10)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.json()["detail"]

    def test_it_is_spoken_with_post_only(self, stack: Stack, keys: dict[str, str]) -> None:
        bearer = {"Authorization": f"Bearer {keys['viewer']}"}
        for method in ("GET", "DELETE", "PUT"):
            answer = requests.request(method, f"{stack.url}/mcp", headers=bearer, timeout=10)
            assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


class TestDescription:
    async def test_every_tool_says_what_it_takes_gives_and_does(
        self, stack: Stack, keys: dict[str, str]
    ) -> None:
        async with agent(stack, keys["viewer"]) as client:
            tools = {one.name: one for one in (await client.list_tools()).tools}
            templates = (await client.list_resource_templates()).resource_templates
        for tool in tools.values():
            assert tool.description, tool.name
            assert tool.output_schema, tool.name
            assert tool.annotations is not None, tool.name
        assert tools["show_machine"].annotations.read_only_hint is True
        assert tools["terminate"].annotations.destructive_hint is True
        assert tools["spawn"].annotations.destructive_hint is False
        assert "ctx" not in json.dumps(tools["spawn"].input_schema)
        assert len(templates) == 3


class TestFromInside:
    @pytest.fixture(autouse=True)
    def _firewall(self, stack: Stack) -> None:
        """Switched on, as an operator does: the machine reaches autovibe's own address and nothing else."""
        url = f"{stack.node_url}/api2/json/cluster/firewall/options"
        token = {"Authorization": f"PVEAPIToken=autovibe@pve!local={NODE_SECRET}"}
        requests.put(url, headers=token, data={"enable": 1}, timeout=5).raise_for_status()

    def test_a_machine_uses_autovibe_with_its_own_token_within_its_project(
        self, stack: Stack, keys: dict[str, str]
    ) -> None:
        handle = stack.spawn(FROM_INSIDE, "shell", network="sealed")
        stack.await_state(handle, "terminated", seconds=120)
        said = {
            line["text"].partition(" ")[0]: line["text"].partition(" ")[2]
            for line in stack.get(f"machines/{handle}/log/")["lines"]
            if line["stream"] == "out"
        }
        assert said["sees"] == "['demo']"
        assert said["ended"] == "terminated"
        assert "There is no project 'nothing'" in said["refused"]
        made = stack.get(f"machines/{said['spawned']}/")
        assert (made["project"], made["created_by"]) == ("demo", f"machine:{handle}")
        assert stack.manage("shell", "-v", "0", "-c", HOW % made["id"]).split() == [
            "mcp",
            f"machine:{handle}",
        ]
