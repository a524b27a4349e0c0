"""The page on configuration names every variable that the settings read."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
READS = re.compile(r'(?:environ\.get|environ\[|flag|number|secret|choice|destinations)\(?"([A-Z_]+)"')


class TestDocumentation:
    def test_every_variable_of_the_settings_is_described(self) -> None:
        read = set(READS.findall((ROOT / "autovibe" / "settings.py").read_text()))
        page = (ROOT / "docs" / "configuration.md").read_text()
        assert {name for name in read if f"`{name}`" not in page} == set()
        assert len(read) > 20, "the pattern no longer finds how settings are read"
