"""What is in checkpoints: lists of files, and contents, each kept once by its hash and shared by all that hold it."""

import json
from typing import Any, cast

import zstandard
from django.contrib.postgres.fields import ArrayField
from django.db import models


class Blob(models.Model):
    """The content of a file, once, whatever number of checkpoints hold it."""

    sha256 = models.CharField(max_length=64, primary_key=True)
    size = models.PositiveIntegerField()
    body = models.BinaryField()  # zstd

    def __str__(self) -> str:
        return self.sha256[:12]

    @property
    def content(self) -> bytes:
        return zstandard.decompress(bytes(self.body), max_output_size=self.size)

    @classmethod
    def holding(cls, sha256: str, content: bytes) -> "Blob":
        return cls(sha256=sha256, size=len(content), body=zstandard.compress(content, 3))


class ManifestPart(models.Model):
    """A stretch of a list of files. Lists that differ in a few files share all their other parts."""

    digest = models.CharField(max_length=64, primary_key=True)
    body = models.BinaryField()  # zstd of a JSON list of entries, sorted by path
    contents = ArrayField(
        models.CharField(max_length=64)
    )  # hashes of the contents that its entries have kept

    def __str__(self) -> str:
        return self.digest[:12]

    @property
    def entries(self) -> list[dict[str, Any]]:
        raw = zstandard.ZstdDecompressor().decompressobj().decompress(bytes(self.body))
        return cast("list[dict[str, Any]]", json.loads(raw))


class Manifest(models.Model):
    """Which files a state has. Two checkpoints with the same files share one."""

    digest = models.CharField(max_length=64, primary_key=True)
    files = models.PositiveIntegerField()
    size = models.PositiveBigIntegerField()  # bytes, all files together
    parts = ArrayField(models.CharField(max_length=64), default=list)  # digests, in the order of their paths

    def __str__(self) -> str:
        return self.digest[:12]

    @property
    def entries(self) -> list[dict[str, Any]]:
        """Sorted by path: kind, mode, and size, sha256, mtime_ns of files, target of links."""
        found = ManifestPart.objects.in_bulk(self.parts)
        return [entry for digest in self.parts for entry in found[digest].entries]
