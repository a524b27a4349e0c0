"""What VMs used over time, from Proxmox's round-robin databases."""

from proxmox.driver import VM, Sample
from proxmox.pve.http import Part
from proxmox.pve.ownership import path_of


class Metrics(Part):
    def history(self, vm: VM, timeframe: str = "hour") -> list[Sample]:
        rows = self._http.get(f"{path_of(vm)}/rrddata", timeframe=timeframe, cf="AVERAGE")
        return [
            Sample(
                at=int(row["time"]),
                cpu=float(row["cpu"]),
                memory_bytes=round(float(row.get("mem") or 0)),
                disk_read_bytes=float(row.get("diskread") or 0),
                disk_written_bytes=float(row.get("diskwrite") or 0),
                received_bytes=float(row.get("netin") or 0),
                sent_bytes=float(row.get("netout") or 0),
            )
            for row in sorted(rows, key=lambda row: int(row["time"]))
            if row.get("cpu") is not None  # a gap has its time and nothing else
        ]
