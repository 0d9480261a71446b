#!/bin/sh
# Create the virtual environment, and say plainly what is missing on a bare machine.
set -eu
python=$1
venv=$2

missing() {
    echo "localchat_ui needs $1." >&2
    echo "On Debian or Ubuntu: sudo apt-get install $2" >&2
    exit 1
}

command -v "$python" >/dev/null || missing "Python 3.10 or newer" "python3 python3-venv"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || missing "Python 3.10 or newer (PYTHON=... chooses another)" "python3"
command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || missing "a C++ compiler, to build llama.cpp once" "g++"

if ! "$python" -c 'import ensurepip' 2>/dev/null; then
    # Debian and Ubuntu keep this part of Python in a package of its own.
    version=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || missing "Python's venv module" "$version"
    apt-get update -q && apt-get install -q -y --no-install-recommends "$version"
fi

rm -rf "$venv"
"$python" -m venv "$venv"
echo "Installing into $venv. The first time llama.cpp is built, which takes a few minutes."
