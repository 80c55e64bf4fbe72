#!/usr/bin/env bash
# Every page of the book and its scorer in Firefox, from the disk. Playwright drives a Firefox of its own making only, which not every
# machine can download; puppeteer-core (the registry of npm) drives the Firefox that people have.
set -euo pipefail

find_firefox() {
    local name
    for name in "${CLICV2LITE_FIREFOX:-}" firefox firefox-esr; do
        if [ -n "$name" ] && "$name" --version >/dev/null 2>&1 </dev/null; then command -v "$name" && return; fi
    done
    return 1
}

if ! firefox=$(find_firefox); then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends firefox-esr; } >/dev/null 2>&1 </dev/null || true
    fi
    firefox=$(find_firefox) || { echo "no Firefox: install one, or name it in CLICV2LITE_FIREFOX" >&2; exit 1; }
fi
command -v npm >/dev/null || { echo "no npm: install Node.js 20 or newer" >&2; exit 1; }
mkdir -p _build/firefox/pictures
npm install --silent --no-audit --no-fund --ignore-scripts --prefix _build/firefox puppeteer-core@24.43.1 ||
    { echo "npm cannot fetch puppeteer-core: check the network, and npm's proxy settings" >&2; exit 1; }
cp tests/browser/firefox.mjs _build/firefox
.venv/bin/python - <<'EOF'
import json
from pathlib import Path
import clicv2lite
from clicv2lite.data.embedded import photographs
from clicv2lite.data.images import read_image
folder = Path("_build/firefox/pictures").resolve()
names = ("coffee", "chelsea", "page")
paths = [str(folder / f"{name}.png") for name in names]
for name, path in zip(names, paths):
    read_image(photographs()[name]).save(path)
scores = clicv2lite.load().score(paths).tolist()
folder.with_name("scores.json").write_text(json.dumps(dict(zip(paths, scores))))
EOF
node _build/firefox/firefox.mjs "$firefox" "$PWD/_build/html"
