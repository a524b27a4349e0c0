# A template as `manage.py template build` makes it, built by Packer instead. The scripts, their order, the versions and
# the first boot's seed are those of machines/templates/recipes: there is no second copy of them here.
#
#     packer init deploy/templates
#     packer build -var-file=mine.pkrvars.hcl -var recipe=claude-code deploy/templates

packer {
  required_plugins {
    proxmox = {
      source  = "github.com/hashicorp/proxmox"
      version = ">= 1.2.2"
    }
  }
}

variable "recipe" {
  type        = string
  default     = "claude-code"
  description = "claude-code, aider or hub."
}

variable "proxmox_url" {
  type        = string
  description = "https://pve.example:8006/api2/json"
}

variable "proxmox_user" {
  type        = string
  description = "User and token: autovibe@pve!packer"
}

variable "proxmox_token" {
  type      = string
  sensitive = true
}

variable "node" {
  type = string
}

variable "base" {
  type        = string
  description = "Name of the VM or template that holds nothing but the cloud image: see docs/templates.md."
}

variable "pool" {
  type    = string
  default = "autovibe"
}

variable "iso_storage" {
  type    = string
  default = "local"
}

variable "bridge" {
  type    = string
  default = "vmbr0"
}

variable "ssh_key" {
  type        = string
  description = "Path of a private key made for this build; the public one lies beside it as .pub. It is not kept in the template."
}

locals {
  recipes = "${path.root}/../../machines/templates/recipes"
  recipe  = file("${local.recipes}/${var.recipe}.toml")
  stages  = flatten(regexall("\"([a-z][a-z0-9-]*)\"", regex("(?m)^stages = (.*)$", local.recipe)[0]))
  checks  = flatten(regexall("\"([^\"]+)\"", regex("(?m)^verify = (.*)$", local.recipe)[0]))
  versions = [
    for pair in regexall("(?m)^([A-Z][A-Z0-9_]*) = \"([^\"]*)\"", local.recipe) : "${pair[0]}=${pair[1]}"
  ]
  prelude = file("${local.recipes}/prelude.sh")
  # Packer works over SSH, which the command does not need.
  user_data = join("", [
    file("${local.recipes}/user-data.yaml"),
    "disable_root: false\n",
    "ssh_authorized_keys: [${jsonencode(trimspace(file("${var.ssh_key}.pub")))}]\n",
  ])
}

source "proxmox-clone" "template" {
  proxmox_url          = var.proxmox_url
  username             = var.proxmox_user
  token                = var.proxmox_token
  node                 = var.node
  pool                 = var.pool
  clone_vm             = var.base
  full_clone           = true
  template_name        = "autovibe-${var.recipe}"
  template_description = "autovibe template ${var.recipe}, built by Packer"
  tags                 = "autovibe;template"

  os              = "l26"
  cpu_type        = "x86-64-v2-AES"
  cores           = 2
  memory          = 2048
  scsi_controller = "virtio-scsi-single"
  serials         = ["socket"]
  qemu_agent      = true

  vga {
    type = "serial0"
  }

  network_adapters {
    model  = "virtio"
    bridge = var.bridge
  }

  # The kernel of Debian's cloud images knows no IDE and no SATA drives.
  additional_iso_files {
    type             = "scsi"
    index            = "1"
    iso_storage_pool = var.iso_storage
    unmount          = true
    cd_label         = "cidata"
    cd_content = {
      "meta-data" = "instance-id: ${uuidv4()}\nlocal-hostname: autovibe-${var.recipe}\n"
      "user-data" = local.user_data
    }
  }

  ssh_username         = "root"
  ssh_private_key_file = var.ssh_key
  ssh_timeout          = "15m"
}

build {
  sources = ["source.proxmox-clone.template"]

  provisioner "shell" {
    environment_vars = local.versions
    inline_shebang   = "/bin/sh -eu"
    inline = flatten([
      [for stage in local.stages : "(\n${local.prelude}\n${file("${local.recipes}/${stage}.sh")}\n)"],
      [for check in local.checks : "(\n${local.prelude}\n${check}\n)"],
    ])
  }

  provisioner "shell" {
    inline_shebang = "/bin/sh -eu"
    inline = [
      local.prelude,
      "rm -rf /root/.ssh",
      file("${local.recipes}/clean.sh"),
    ]
  }
}
