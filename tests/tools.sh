#!/usr/bin/env bash
# Installs what the tests need where it is missing: redis-server, postgresql, openssl, slowhttptest, testssl.sh, node and
# npm, python3-venv, chromium (Debian), cargo-nextest.
set -euo pipefail

missing=()
command -v redis-server >/dev/null || missing+=(redis-server)
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing+=(postgresql)
command -v cc >/dev/null || missing+=(build-essential)
command -v openssl >/dev/null || missing+=(openssl)
command -v slowhttptest >/dev/null || missing+=(slowhttptest)
command -v testssl >/dev/null || missing+=(testssl.sh)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
command -v chromium >/dev/null || missing+=(chromium)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)

if [ ${#missing[@]} -gt 0 ]; then
    echo "installing 正在安装: ${missing[*]}"
    sudo=
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -qq
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

cargo nextest --version >/dev/null 2>&1 || cargo install --locked cargo-nextest
