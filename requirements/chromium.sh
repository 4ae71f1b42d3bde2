#!/usr/bin/env bash
# The browser in which the tests look at the leaderboard page; from Debian's packages, where it is missing and root runs this.
set -euo pipefail
command -v chromium >/dev/null && exit
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "chromium, for the tests of the leaderboard's page, from Debian's packages"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends chromium >/dev/null
else
    echo "chromium is missing, and only root can install it (apt-get install chromium): tests of the leaderboard's page will fail" >&2
fi
