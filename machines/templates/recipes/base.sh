# What every agent needs. A VM gets it from its distribution; a guest of the embedded node has the programs of its
# computer, and must not touch them.

if [ -n "${EMBEDDED:-}" ]; then
    missing=""
    for program in python3 git; do
        command -v "$program" >/dev/null || missing="$missing $program"
    done
    [ -z "$missing" ] || { echo "This computer lacks$missing: install it, then run the same command again."; exit 1; }
    exit 0
fi

# apt is not free before cloud-init has ended. It also complains about things that are no concern here.
if command -v cloud-init >/dev/null; then cloud-init status --wait || true; fi

command -v apt-get >/dev/null || {
    echo "This recipe is for Debian and Ubuntu images: $(. /etc/os-release && echo "$PRETTY_NAME") has no apt-get."
    exit 1
}
export DEBIAN_FRONTEND=noninteractive
apt-get -o DPkg::Lock::Timeout=300 update
apt-get -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends \
    qemu-guest-agent python3 python3-venv git ca-certificates curl xz-utils procps less jq unzip ripgrep build-essential

# Upgrades in the background hold locks, use the network, and make branches of one checkpoint differ.
systemctl disable --now apt-daily.timer apt-daily-upgrade.timer unattended-upgrades.service 2>/dev/null || true

# Whoever may open the console of a machine is to find a shell there: no account has a password.
mkdir -p /etc/systemd/system/serial-getty@ttyS0.service.d
cat > /etc/systemd/system/serial-getty@ttyS0.service.d/autovibe.conf <<'END'
[Service]
ExecStart=
ExecStart=-/sbin/agetty --autologin root --keep-baud 115200,57600,38400,9600 - $TERM
END
