"""plotly.js for a page that works offline: the library of the plotly package, compressed, and a script that starts it.

The library has 4.8 MB; compressed and as text it adds 1.9 MB to a page. The browser unpacks it itself.
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["is_there", "policy_sources", "scripts"]

# Replaces each picture by its interactive figure. If a browser cannot, or may not, run scripts, the pictures stay.
START = """
(async () => {
  const packed = atob(document.getElementById("plotly").textContent);
  const bytes = Uint8Array.from(packed, (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.src = URL.createObjectURL(new Blob([await new Response(stream).text()], {type: "text/javascript"}));
  script.onload = () => {
    for (const [name, spec] of Object.entries(JSON.parse(document.getElementById("figures").textContent))) {
      const figure = document.getElementById(name), place = document.createElement("div");
      place.className = "interactive";
      figure.prepend(place);
      figure.classList.add("replaced");
      Plotly.newPlot(place, spec.data, spec.layout, {responsive: true, displaylogo: false});
    }
  };
  document.head.append(script);
})().catch((problem) => console.warn(problem));
"""


def is_there() -> bool:
    """True if the plotly package is installed."""
    return _path() is not None


def scripts(figures: Mapping[str, Any]) -> str:
    """HTML of the library, the figures (plotly's JSON by the id of their picture) and the script that draws them."""
    data = json.dumps(figures, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return (
        f'<script type="text/plain" id="plotly">{_packed()}</script>\n'
        f'<script type="application/json" id="figures">{data}</script>\n'
        f"<script>{START}</script>\n"
    )


def policy_sources() -> str:
    """Content security policy of the scripts: only this one, and what it has unpacked."""
    digest = base64.b64encode(hashlib.sha256(START.encode()).digest()).decode()
    return f"; script-src 'sha256-{digest}' blob:"


@functools.cache
def _packed() -> str:
    path = _path()
    assert path is not None
    return base64.b64encode(gzip.compress(path.read_bytes(), 9, mtime=0)).decode()


def _path() -> Path | None:
    try:
        spec = importlib.util.find_spec("plotly")
    except ValueError:  # it is loaded, from a place that has no specification
        return None
    places = spec.submodule_search_locations if spec else None
    paths = [Path(place, "package_data", "plotly.min.js") for place in places or ()]
    return next((path for path in paths if path.is_file()), None)
