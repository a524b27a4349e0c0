"""The seed of a template's first boot: an ISO image for cloud-init's NoCloud data source.

It is uploaded as an ordinary ISO, since Proxmox takes no cloud-init snippets over its API.
"""

import io
from collections.abc import Mapping

import pycdlib

LABEL = "cidata"  # cloud-init: DataSourceNoCloud looks for this volume label


def image(files: Mapping[str, str]) -> bytes:
    """An ISO 9660 image with Joliet and Rock Ridge names that holds `files` in its root."""
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=LABEL)
    for number, (name, text) in enumerate(files.items()):
        content = text.encode()
        iso.add_fp(
            io.BytesIO(content),
            len(content),
            f"/FILE{number}.;1",
            rr_name=name,
            joliet_path=f"/{name}",
        )
    written = io.BytesIO()
    iso.write_fp(written)
    iso.close()
    return written.getvalue()


def nocloud(user_data: str, *, instance: str, hostname: str, http_proxy: str = "") -> bytes:
    """The seed itself. `http_proxy`: how the image's package manager reaches its mirrors."""
    proxy = f"apt:\n  http_proxy: {http_proxy}\n" if http_proxy else ""
    return image(
        {
            "meta-data": f"instance-id: {instance}\nlocal-hostname: {hostname}\n",
            "user-data": user_data + proxy,
        }
    )
