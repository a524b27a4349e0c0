"""Checks of the cluster that somebody asked for, and what they found."""

from django.db import models


class Diagnosis(models.Model):
    """One check. Rows are appended, and filled in by the worker that carries the check out."""

    asked_at = models.DateTimeField(auto_now_add=True)
    asked_by = models.CharField(max_length=150, blank=True)
    finished_at = models.DateTimeField(null=True)
    status = models.CharField(max_length=10, blank=True)  # the worst finding's; "" until it is finished
    findings = models.JSONField(default=list)  # as `proxmox.diagnosis.findings.Report.plain` has them

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "diagnoses"

    def __str__(self) -> str:
        return f"Check of {self.asked_at:%Y-%m-%d %H:%M:%S} UTC"
