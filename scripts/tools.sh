# Sourced after env.sh by scripts that build a release or run the whole suite: brings the C tools that a release needs, and
# `ip` for tests with machines of their own, nft for those with routers, systemd for that of the service, coturn for those
# of TURN, Caddy for those of TLS before a relay and Redis for those of relays on a bus, where that is possible; with
# `browser` as first argument also a Chromium and a font.
# Debian and Ubuntu only; elsewhere scripts/release names what is missing and the tests that need a tool say so.
release_tools() {
  local missing=() sudo=""
  if [ "${1:-}" = browser ]; then
    command -v chromium >/dev/null || command -v google-chrome >/dev/null || missing+=(chromium)
    compgen -G '/usr/share/fonts/*/*/*.[ot]tf' >/dev/null || missing+=(fonts-dejavu-core)
  fi
  command -v gcc >/dev/null || missing+=(gcc libc6-dev)
  command -v readelf >/dev/null || missing+=(binutils)
  command -v ip >/dev/null || missing+=(iproute2)
  command -v turnutils_uclient >/dev/null && command -v turnserver >/dev/null || missing+=(coturn)
  command -v caddy >/dev/null || missing+=(caddy)
  command -v redis-server >/dev/null || missing+=(redis-server)
  [ -x /lib/systemd/systemd ] || missing+=(systemd)
  command -v dbus-daemon >/dev/null || missing+=(dbus)
  command -v nft >/dev/null || missing+=(nftables)
  compgen -G '/usr/lib/*/libz.a' >/dev/null || [ -e /usr/lib/libz.a ] || missing+=(zlib1g-dev)
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || return 0
  [ "$(id -u)" = 0 ] || sudo="sudo -n"
  echo "Installing system packages: ${missing[*]}" >&2
  { $sudo apt-get update -qq && $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >&2 ||
    echo "warning: could not install ${missing[*]}; releases cannot be built here, or some tests will fail or skip." >&2
}
# The browser without windows is Debian's own; where there is none the tests take the whole browser.
lean_browser() {
  local sudo=""
  [ "${1:-}" = browser ] && ! command -v chromium-headless-shell >/dev/null && command -v apt-get >/dev/null || return 0
  apt-cache show chromium-headless-shell >/dev/null 2>&1 || return 0
  [ "$(id -u)" = 0 ] || sudo="sudo -n"
  $sudo apt-get install -y -qq --no-install-recommends chromium-headless-shell >&2 || true
}
release_tools "$@"
lean_browser "$@"
