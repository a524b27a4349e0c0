"""Guests and what the cluster has, in the Django admin, to be read: Proxmox VE and the operations write them."""

from django.contrib import admin
from django.urls import reverse

from guests.models import Diagnosis, Guest, Node, Storage, Stray, Usage
from projects.staff import OfProject, ReadOnly, Small, of_project


@admin.register(Guest)
class GuestAdmin(ReadOnly):
    list_display = ["vmid", "node", "project", "state", "power", "observed_at"]
    list_filter = [OfProject, "state", "power"]
    list_select_related = ["project"]
    search_fields = ["vmid"]
    ordering = ["-vmid"]


@admin.register(Usage)
class UsageAdmin(ReadOnly):
    project_path = "guest__project"
    list_display = ["guest", "at", "cpu_seconds", "received_bytes", "sent_bytes"]
    list_filter = [of_project("guest__project")]
    list_select_related = ["guest"]
    search_fields = ["guest__vmid"]
    ordering = ["-pk"]


class OfTheCluster(Small):
    """It belongs to no project; the page of settings says what can be done about it."""

    project_path = ""

    def view_on_site(self, _: object) -> str:
        return reverse("dashboard:settings")


@admin.register(Node)
class NodeAdmin(OfTheCluster):
    list_display = ["name", "online", "since"]


@admin.register(Storage)
class StorageAdmin(OfTheCluster):
    list_display = ["name", "node", "kind", "chain"]
    list_filter = ["kind"]


@admin.register(Stray)
class StrayAdmin(OfTheCluster):
    list_display = ["vmid", "node", "name", "why", "confirmed", "ignored_by", "first_seen_at"]


@admin.register(Diagnosis)
class DiagnosisAdmin(OfTheCluster):
    list_display = ["asked_at", "asked_by", "finished_at", "status"]
