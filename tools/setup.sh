#!/usr/bin/env bash
# Make the virtual environment: tools/setup.sh [--newest] DIR
# --newest ignores constraints.txt and writes it anew with the versions that were found.
set -euo pipefail

newest=no
if [ "${1:-}" = --newest ]; then newest=yes; shift; fi
venv=${1:?which directory?}
python=${PYTHON:-python3}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "Cosmodrome needs Python 3.11 or newer; $python is $("$python" --version 2>&1). Set PYTHON=/path/to/python3.11." >&2
  exit 1
fi

echo "Setting up $venv (once; a minute or two without a package cache) ..."
if [ ! -x "$venv/bin/python" ]; then
  if command -v uv > /dev/null; then
    uv venv --quiet --seed --python "$python" "$venv"
  elif ! "$python" -m venv "$venv"; then
    rm -rf "$venv"
    echo "Python's venv module does not work here (on Debian it is in the package python3-venv; uv on the PATH will do as well)." >&2
    exit 1
  fi
fi

constraint=(-c constraints.txt)
if [ "$newest" = yes ]; then constraint=(); fi

# Trust what the machine trusts: behind a company's proxy uv would otherwise refuse its certificate, where pip does not.
export UV_SYSTEM_CERTS=true

# uv installs in seconds what takes pip a minute; pip, which honours every local pip setting, is the fallback.
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${constraint[@]}" uv
if ! "$venv/bin/uv" pip install --quiet --python "$venv" "${constraint[@]}" -e '.[dev]'; then
  echo "uv could not install; trying pip ..." >&2
  "$venv/bin/python" -m pip install --disable-pip-version-check "${constraint[@]}" -e '.[dev]'
fi

if [ "$newest" = yes ]; then
  {
    echo "# Exact versions of everything, for repeatable set-ups. Written by 'make constraints'."
    "$venv/bin/uv" pip freeze --quiet --python "$venv" --exclude-editable
  } > constraints.txt
fi
