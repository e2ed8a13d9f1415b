# Sourced by the other scripts: makes the project's environment in .venv and leaves its tools in $BIN.
#
# Needs only git and a Python >= 3.11 with venv; takes the newest one on the PATH ($MESH_PYTHON names another).
# A second run costs a few milliseconds: the environment is made again only when its inputs changed.
set -euo pipefail
unset PYTHONDONTWRITEBYTECODE  # without its caches every start compiles what was edited last

ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
VENV="$ROOT/.venv"
BIN="$VENV/bin"

# A version manager may put shims on the PATH for interpreters that are not selected: run each candidate.
suitable() { "$1" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1; }

newest_python() {
  local name path candidates=()
  [ -n "${MESH_PYTHON:-}" ] && candidates+=("$MESH_PYTHON")
  for name in python3.13 python3.12 python3.11 python3 python; do
    while IFS= read -r path; do candidates+=("$path"); done < <(type -ap "$name" 2>/dev/null)
  done
  for path in ${candidates[@]+"${candidates[@]}"}; do
    if suitable "$path"; then printf '%s\n' "$path"; return 0; fi
  done
  echo "error: no Python 3.11 to 3.13 with the venv module on the PATH." >&2
  echo "       Install one (Debian: apt-get install python3 python3-venv) or set MESH_PYTHON to it." >&2
  return 1
}

make_environment() {
  local python wanted stamp="$VENV/.stamp"
  wanted=$(cat "$ROOT/pyproject.toml" "$ROOT/requirements.lock" | cksum)
  if [ -x "$BIN/python" ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && "$BIN/python" -c '' 2>/dev/null; then
    return 0
  fi
  python=$(newest_python)
  echo "Setting up: $("$python" --version) from $python, packages from requirements.lock" >&2
  [ -x "$BIN/python" ] && "$BIN/python" -c '' 2>/dev/null || "$python" -m venv --clear "$VENV"
  local pip=("$BIN/python" -m pip --disable-pip-version-check --quiet install)
  "${pip[@]}" --require-hashes --only-binary :all: -r "$ROOT/requirements.lock" ||
    { echo "error: the packages could not be installed; see the message above (is the network up?)." >&2; return 1; }
  "${pip[@]}" --no-deps -e "$ROOT"
  # Compiled now, also for whoever starts the commands where bytecode must not be written on the fly.
  "$BIN/python" -m compileall -q -j0 "$VENV/lib" "$ROOT/common" "$ROOT/daemon" "$ROOT/frontend_client" "$ROOT/bundler" >/dev/null || true
  printf '%s\n' "$wanted" >"$stamp"
}

make_environment
