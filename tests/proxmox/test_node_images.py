"""Images: uploaded, fetched from an address, and made into a guest's disk."""

import gzip
import hashlib
import io
import lzma
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
import zstandard

from tests.proxmox.conftest import Api


def archive(*, outside: bool = False) -> bytes:
    """A tar archive of a guest's files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        file = tarfile.TarInfo("../escaped" if outside else "etc/motd")
        file.size = 7
        tar.addfile(file, io.BytesIO(b"welcome"))
        link = tarfile.TarInfo("etc/alias")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/motd"
        tar.addfile(link)
    return packed.getvalue()


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "plain.tar": lambda data: data,
    "guest.tar.gz": gzip.compress,
    "guest.tar.xz": lzma.compress,
    "guest.tar.zst": zstandard.ZstdCompressor().compress,
    "guest.qcow2": gzip.compress,
}


def upload(api: Api, name: str, content: bytes, kind: str = "import") -> requests.Response:
    url = f"{api.node.url}/api2/json/nodes/{api.node.name}/storage/local/upload"
    files = {"filename": (name, content)}
    return requests.post(url, headers=api.node.headers, data={"content": kind}, files=files, timeout=20)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A web site, and the directory it serves."""
    directory = tmp_path_factory.mktemp("site")

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(directory))

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", directory
        server.shutdown()


class TestUpload:
    def test_an_image_larger_than_a_request_may_be_arrives_whole(self, api: Api) -> None:
        content = bytes(range(256)) * 8192
        api.done(upload(api, "big.iso", content, "iso").json()["data"])
        listed = {row["volid"]: row for row in api.get("storage/local/content", content="iso")}
        assert listed["local:iso/big.iso"]["size"] == len(content)
        assert (api.node.state / "files/local/iso/big.iso").read_bytes() == content

    def test_one_that_replaces_another_is_the_new_one(self, api: Api) -> None:
        for content in (b"old", b"newer"):
            api.done(upload(api, "twice.iso", content, "iso").json()["data"])
        assert api.get("storage/local/content/local:iso/twice.iso")["size"] == 5

    def test_a_name_cannot_lead_outside(self, api: Api) -> None:
        api.done(upload(api, "../../../outside.iso", b"x", "iso").json()["data"])
        assert (api.node.state / "files/local/iso/outside.iso").exists()

    def test_an_image_is_deleted(self, api: Api) -> None:
        api.done(upload(api, "gone.iso", b"x", "iso").json()["data"])
        api.done(api.delete("storage/local/content/local:iso/gone.iso"))
        assert not any("gone.iso" in row["volid"] for row in api.get("storage/local/content", content="iso"))


class TestDownload:
    def test_an_image_is_fetched_and_checked(self, api: Api, site: tuple[str, Path]) -> None:
        address, directory = site
        (directory / "guest.tar").write_bytes(archive())
        digest = hashlib.sha512(archive()).hexdigest()
        checked = {"checksum": digest, "checksum_algorithm": "sha512"}
        upid = api.post(
            "storage/local/download-url",
            url=f"{address}/guest.tar",
            filename="fetched.tar",
            content="import",
            **checked,
        )
        assert ":download:fetched.tar:" in upid
        api.done(upid)
        assert "local:import/fetched.tar" in {row["volid"] for row in api.get("storage/local/content")}

    def test_a_wrong_checksum_fails_and_keeps_nothing(self, api: Api, site: tuple[str, Path]) -> None:
        address, directory = site
        (directory / "bad.iso").write_bytes(b"something")
        checked = {"checksum": "0" * 64, "checksum_algorithm": "sha256"}
        upid = api.post(
            "storage/local/download-url",
            url=f"{address}/bad.iso",
            filename="bad.iso",
            content="iso",
            **checked,
        )
        assert api.ended(upid).startswith("checksum mismatch: got '")
        assert not (api.node.state / "files/local/iso/bad.iso").exists()

    def test_what_is_not_there_fails_in_the_task(self, api: Api, site: tuple[str, Path]) -> None:
        upid = api.post(
            "storage/local/download-url", url=f"{site[0]}/none.iso", filename="none.iso", content="iso"
        )
        assert api.ended(upid) == "download failed: HTTP Error 404: File not found"

    def test_a_storage_without_files_takes_none(self, api: Api) -> None:
        answer = api.call(
            "POST",
            "storage/local-lvm/download-url",
            url="http://127.0.0.1/x.iso",
            filename="x.iso",
            content="iso",
        )
        assert answer.reason == "can't upload to storage type 'lvmthin', not a file based storage!"


class TestImport:
    @pytest.mark.parametrize(("number", "name"), enumerate(PACKED))
    def test_an_archive_becomes_the_disk(self, api: Api, number: int, name: str) -> None:
        vmid = 800 + number
        api.done(upload(api, name, PACKED[name](archive())).json()["data"])
        source = f"local-lvm:0,import-from=local:import/{name}"
        api.done(api.post("qemu", vmid=vmid, scsi0=source, agent="1"))
        assert (api.disk(vmid) / "etc/motd").read_text() == "welcome"
        assert (api.disk(vmid) / "etc/alias").readlink() == Path("/etc/motd")
        assert api.get(f"qemu/{vmid}/config")["scsi0"] == f"local-lvm:vm-{vmid}-disk-0,size=4G"

    def test_anything_else_fails_in_the_task_and_leaves_no_vm(self, api: Api) -> None:
        api.done(upload(api, "disk.raw", b"\xeb\x63\x90" * 1000).json()["data"])
        ended = api.ended(api.post("qemu", vmid=810, scsi0="local-lvm:0,import-from=local:import/disk.raw"))
        assert "imports tar archives of a guest's files only, and 'disk.raw' is none" in ended
        assert api.call("GET", "qemu/810/config").status_code == 500

    def test_an_archive_cannot_write_outside_of_the_disk(self, api: Api) -> None:
        api.done(upload(api, "evil.tar", archive(outside=True)).json()["data"])
        ended = api.ended(api.post("qemu", vmid=811, scsi0="local-lvm:0,import-from=local:import/evil.tar"))
        assert "would be extracted to" in ended
        assert not list(api.node.state.rglob("escaped"))

    def test_a_hard_link_cannot_lead_outside_of_the_disk(self, api: Api) -> None:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            link = tarfile.TarInfo("stolen")
            link.type, link.linkname = tarfile.LNKTYPE, "../../../../../../../../etc/hostname"
            tar.addfile(link)
        api.done(upload(api, "link.tar", packed.getvalue()).json()["data"])
        ended = api.ended(api.post("qemu", vmid=815, scsi0="local-lvm:0,import-from=local:import/link.tar"))
        assert "would link to" in ended

    def test_modes_are_kept(self, api: Api) -> None:
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            directory = tarfile.TarInfo("tmp")
            directory.type, directory.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(directory)
        api.done(upload(api, "modes.tar", packed.getvalue()).json()["data"])
        api.done(api.post("qemu", vmid=816, scsi0="local-lvm:0,import-from=local:import/modes.tar"))
        assert (api.disk(816) / "tmp").stat().st_mode & 0o7777 == 0o1777

    def test_a_vm_with_files_takes_no_second_disk_of_an_image(self, api: Api) -> None:
        api.done(upload(api, "second.tar", archive()).json()["data"])
        source = "local-lvm:0,import-from=local:import/second.tar"
        api.done(api.post("qemu", vmid=817, scsi0=source))
        ended = api.ended(api.post("qemu/817/config", scsi1=source))
        assert ended == "the embedded node keeps one disk with files for each VM, and this VM has one"

    def test_another_vms_disk_is_copied(self, api: Api) -> None:
        api.done(api.post("qemu", vmid=812, scsi0="local-lvm:1"))
        (api.disk(812) / "mine").write_text("original")
        api.done(api.post("qemu", vmid=813, scsi0="local-lvm:0,import-from=local-lvm:vm-812-disk-0"))
        assert (api.disk(813) / "mine").read_text() == "original"

    @pytest.mark.parametrize(
        ("disk", "said"),
        [
            ("local-lvm:4,import-from=local:import/plain.tar", "requires special syntax"),
            ("local-lvm:0,import-from=local:iso/x.iso", "needs to be 'images' or 'import'"),
            ("local-lvm:0,import-from=/etc/passwd", "Only root can pass arbitrary filesystem paths."),
        ],
    )
    def test_what_cannot_be_imported_is_refused_at_once(self, api: Api, disk: str, said: str) -> None:
        answer = api.call("POST", "qemu", vmid=814, scsi0=disk)
        assert not answer.ok
        assert said in answer.text
