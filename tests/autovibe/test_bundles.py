"""Static files that are put together when they are collected."""

import re
import shutil
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import FileSystemStorage

from autovibe.bundles import FETCHED, BundlingStorage, joined

STATIC = Path(__file__).resolve().parents[2] / "static"
# What no other file imports: a page of its own, what is heavy, and what has to be there when all else fails.
ALONE = {
    "css/site.css", "css/wall.css", "css/styleguide.css", "css/console.css", "css/admin.css", "css/error.css",
    "js/signed-in.js", "js/signed-out.js", "js/machine.js", "js/theme.js", "js/wall.js", "js/console.js",
    "js/account.js", "js/appearance.js",
}  # fmt: skip


def read(name: str) -> str:
    return (STATIC / name).read_text()


class TestJoining:
    def test_what_is_imported_takes_the_place_of_the_import(self) -> None:
        files = {
            "css/all.css": '/* all */\n@import "a.css";\n@import "b.css";\n',
            "css/a.css": "a {}\n",
            "css/b.css": "b {}\n",
        }

        assert joined("css/all.css", files.__getitem__) == "/* all */\na {}\nb {}\n"

    def test_each_script_keeps_its_names_to_itself(self) -> None:
        files = {
            "js/all.js": 'import "./a.js";\nimport "./b.js";\n',
            "js/a.js": "const x = 1;\n",
            "js/b.js": "const x = 2;\n",
        }

        assert joined("js/all.js", files.__getitem__) == "{\nconst x = 1;\n}\n{\nconst x = 2;\n}\n"

    def test_a_file_that_imports_nothing_stays_as_it_is(self) -> None:
        assert joined("css/a.css", lambda name: "a {}\n") is None

    @pytest.mark.parametrize("line", ['import { x } from "./x.js";', "export const x = 1;"])
    def test_scripts_that_share_names_are_refused(self, line: str) -> None:
        files = {"js/all.js": 'import "./a.js";\n', "js/a.js": f"{line}\n"}

        with pytest.raises(ImproperlyConfigured, match=re.escape(line)):
            joined("js/all.js", files.__getitem__)

    def test_an_import_when_it_is_wanted_is_none_of_them(self) -> None:
        files = {"js/all.js": 'import "./a.js";\n', "js/a.js": 'import("./later.js").then(begin);\n'}

        assert "later" in str(joined("js/all.js", files.__getitem__))


class TestOurOwn:
    def test_every_file_is_part_of_another_or_known_to_stand_alone(self) -> None:
        names = {
            str(path.relative_to(STATIC)) for kind in ("css", "js") for path in (STATIC / kind).iterdir()
        }
        parts = {
            f"{name.partition('/')[0]}/{part}"
            for name in names
            for part in re.findall(r'^(?:@import "|import "\./)([^"]+)";', read(name), re.MULTILINE)
        }

        assert names - parts == ALONE

    def test_collected_they_are_one_file_each(self, tmp_path: Path) -> None:
        sources = FileSystemStorage(STATIC)
        paths = {name: (sources, name) for name in ("icons.svg", *_names(), *FETCHED)}
        shutil.copytree(STATIC, tmp_path, dirs_exist_ok=True)
        for name in FETCHED:  # which may be away where there is no npm
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        storage = BundlingStorage(location=tmp_path)
        storage.manifest_storage = FileSystemStorage(tmp_path)

        for _ in range(2):  # the second time, what was collected lies there already
            assert not [done for _, _, done in storage.post_process(paths) if isinstance(done, Exception)]

            (named,) = tmp_path.glob("css/site.????????????.css")
            assert "@import" not in named.read_text()
            assert read("css/tokens.css") in named.read_text()
            assert named.with_name(f"{named.name}.gz").exists()

    def test_nothing_is_collected_without_what_pages_load_from_others(self, tmp_path: Path) -> None:
        paths = {name: (FileSystemStorage(STATIC), name) for name in _names()}

        with pytest.raises(ImproperlyConfigured, match="Run bin/assets, and collect again"):
            list(BundlingStorage(location=tmp_path).post_process(paths))


def _names() -> set[str]:
    return {str(path.relative_to(STATIC)) for kind in ("css", "js") for path in (STATIC / kind).iterdir()}
