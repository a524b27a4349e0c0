# Aider wants Python 3.10 to 3.12. uv takes the system's where it is one of these, and fetches one otherwise.

python3 -m venv "$TOOLCHAIN/uv"
"$TOOLCHAIN/uv/bin/pip" install --quiet --disable-pip-version-check "uv==$UV_VERSION"
uv="$TOOLCHAIN/uv/bin/uv"
export UV_PYTHON_INSTALL_DIR="$TOOLCHAIN/python" UV_CACHE_DIR="$TOOLCHAIN/uv/cache" UV_LINK_MODE=copy
"$uv" venv --quiet --clear --relocatable --python '>=3.10,<3.13' "$TOOLCHAIN/aider"
"$uv" pip install --python "$TOOLCHAIN/aider/bin/python" "aider-chat==$AIDER_VERSION"
mkdir -p "$TOOLCHAIN/bin"
ln -sf ../aider/bin/aider "$TOOLCHAIN/bin/aider"
rm -rf "$UV_CACHE_DIR"
publish aider
