# Node.js with npm, from nodejs.org and checked against the recipe's digest. An embedded guest uses its computer's.

if [ -n "${EMBEDDED:-}" ]; then
    command -v npm >/dev/null || {
        echo "This computer lacks npm: install Node.js 18 or newer, then run the same command again."
        exit 1
    }
    exit 0
fi

if [ "$("$TOOLCHAIN/bin/node" --version 2>/dev/null)" != "v$NODE_VERSION" ]; then
    [ "$(uname -m)" = x86_64 ] || { echo "This recipe has the digest of Node.js for x86_64 only, not $(uname -m)."; exit 1; }
    archive=$(mktemp)
    curl --fail --silent --show-error --location --retry 3 --output "$archive" \
        "${NODE_MIRROR:-https://nodejs.org/dist}/v$NODE_VERSION/node-v$NODE_VERSION-linux-x64.tar.xz"
    echo "$NODE_SHA256  $archive" | sha256sum --check --quiet
    mkdir -p "$TOOLCHAIN"
    tar --extract --xz --file "$archive" --directory "$TOOLCHAIN" --strip-components 1 --no-same-owner
    rm -f "$archive"
fi
for program in node npm npx; do publish "$program"; done
