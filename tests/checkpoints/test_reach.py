"""Which commands and tools reach outside their guest, and which only look so."""

import pytest

from checkpoints.models import Effect
from checkpoints.triggers.reach import effects_of

Kind = Effect.Kind


def kinds(command: str, name: str = "Bash") -> list[str]:
    return [str(kind) for kind, _ in effects_of(name, command)]


class TestCommands:
    @pytest.mark.parametrize(
        ("command", "kind"),
        [
            ("git push origin main", Kind.PUSH),
            ("cd repo && git -C . push", Kind.PUSH),
            ("git commit -am x; git push", Kind.PUSH),
            ("bash -c 'git push'", Kind.PUSH),
            ("if make test; then git push; fi", Kind.PUSH),
            ("GIT_SSH=x sudo -E git push", Kind.PUSH),
            ("gh pr create --fill", Kind.PULL_REQUEST),
            ("gh pr merge 12 --squash", Kind.PULL_REQUEST),
            ("npm publish", Kind.PUBLISH),
            ("twine upload dist/*", Kind.PUBLISH),
            ("cargo publish --token x", Kind.PUBLISH),
            ("docker push registry/x:1", Kind.PUBLISH),
            ("echo hi | mail -s hello bob", Kind.MESSAGE),
            ("curl -s -d '{}' https://hooks.slack.com/services/T/B/x", Kind.MESSAGE),
            ("gh issue comment 3 -b done", Kind.MESSAGE),
            ("kubectl -n prod apply -f x.yaml", Kind.DEPLOY),
            ("terraform -chdir=infra apply -auto-approve", Kind.DEPLOY),
            ("aws s3 cp a s3://b/", Kind.DEPLOY),
            ("gcloud run deploy x", Kind.DEPLOY),
            ("curl -X POST https://api.example.com/x", Kind.REQUEST),
            ("curl --request=DELETE https://api.example.com/x", Kind.REQUEST),
            ("curl https://api.example.com/x -sSd @body", Kind.REQUEST),
            ("wget --post-data=a=b https://example.com", Kind.REQUEST),
            ("rsync -a . host:/srv", Kind.REQUEST),
            ("cat x | ssh host tee y", Kind.REQUEST),
        ],
    )
    def test_what_reaches_out(self, command: str, kind: Kind) -> None:
        assert kinds(command) == [kind]

    @pytest.mark.parametrize(
        "command",
        [
            "git status",
            "git stash pop",
            "git commit -m 'explain git push'",
            "grep -rn 'git push' docs",
            "echo npm publish",
            "git push --dry-run",
            "kubectl apply --dry-run=client -f x",
            "kubectl get pods",
            "curl https://example.com/install.sh",
            "curl -X POST http://localhost:8000/items -d '{}'",
            "curl -d a=b http://127.0.0.1:5000/",
            "cat > deploy.sh <<'EOF'\ngit push\nnpm publish\nEOF\nchmod +x deploy.sh",
            "ls -la",
            "",
        ],
    )
    def test_what_stays(self, command: str) -> None:
        assert kinds(command) == []

    def test_a_text_that_is_fed_to_a_shell_is_run(self) -> None:
        assert kinds("bash <<EOF\ngit push\nEOF") == ["push"]

    def test_every_command_of_a_line_counts_in_its_order(self) -> None:
        found = effects_of("Bash", "git push -u origin x && gh pr create --fill")
        assert found == [(Kind.PUSH, "git push -u origin x"), (Kind.PULL_REQUEST, "gh pr create --fill")]


class TestToolsOfServers:
    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("mcp__github__create_pull_request", Kind.PULL_REQUEST),
            ("mcp__github__push_files", Kind.PUSH),
            ("mcp__slack__post_message", Kind.MESSAGE),
            ("mcp__vercel__deploy_project", Kind.DEPLOY),
            ("mcp__linear__update_status", Kind.REQUEST),
        ],
    )
    def test_they_are_told_by_their_names(self, name: str, kind: Kind) -> None:
        assert effects_of(name, "demo") == [(kind, f"{name} demo")]

    def test_those_that_only_look_do_nothing(self) -> None:
        assert kinds("x", "mcp__github__get_file_contents") == []
        assert kinds("x", "mcp__github__list_pull_requests") == []
