#!/usr/bin/env bash
# Prints the path of a Chromium for the browser tests; installs one if none is there. Exit 1, with a reason, if that fails.
set -euo pipefail

find_chromium() {
    local name
    for name in "${CLICV2LITE_CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable; do
        # asked for its version: Ubuntu's chromium-browser may be a stub that only points at another store
        if [ -n "$name" ] && "$name" --version >/dev/null 2>&1 </dev/null; then command -v "$name" && return; fi
    done
    [ -x .venv/bin/python ] && .venv/bin/python - <<'EOF'
import sys
from pathlib import Path
from playwright.sync_api import sync_playwright
with sync_playwright() as p:
    path = p.chromium.executable_path
    print(path) if Path(path).is_file() else sys.exit(1)
EOF
}

find_chromium && exit
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } >/dev/null 2>&1 </dev/null || true
    find_chromium && exit
fi
.venv/bin/python -m playwright install chromium >/dev/null 2>&1 </dev/null || true
find_chromium && exit
echo "no Chromium: install one (Debian: apt-get install chromium) or name it in CLICV2LITE_CHROMIUM" >&2
exit 1
