# Goes before every stage. Where things lie: under GUEST_ROOT where guests run without a sandbox, else under /.

export HOME="${GUEST_ROOT:-}/root"
TOOLCHAIN="${GUEST_ROOT:-}/opt/toolchain"
PROGRAMS="${GUEST_ROOT:-}/opt/autovibe/bin" # on the PATH of every agent
export PATH="$PROGRAMS:$PATH"
cd "$HOME"

# Put a program of the toolchain on the agents' PATH. The link is relative: a clone's root may be elsewhere.
publish() {
    mkdir -p "$PROGRAMS"
    ln -sf "../../toolchain/bin/$1" "$PROGRAMS/$1"
}
