"""Pages that are shown before somebody may see the dashboard; they have no scripts."""

from __future__ import annotations

import html

__all__ = ["forward_page", "login_page"]

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>hopslite</title>{head}
<style>
:root {{ color-scheme: light dark }}
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 0; min-height: 100vh; display: grid; place-items: center;
  background: light-dark(#f6f7f9, #12161c); color: light-dark(#1c2530, #e4e9ef) }}
main {{ width: min(26rem, 100vw - 3rem) }}
h1 {{ font-size: 1.25rem; margin: 0 0 .75rem }}
p {{ margin: 0 0 1rem }}
.problem {{ color: light-dark(#a11d1d, #ff9c94) }}
label {{ display: block; margin-bottom: .25rem }}
form {{ display: flex; flex-wrap: wrap; gap: .5rem }}
label {{ width: 100% }}
input {{ flex: 1; font: inherit; padding: .45rem .6rem; border-radius: 6px; min-width: 0;
  border: 1px solid light-dark(#8a94a0, #66717e); background: light-dark(#fff, #1b212a); color: inherit }}
button {{ font: inherit; padding: .45rem 1rem; border: 0; border-radius: 6px; background: #0b6e6e; color: #fff }}
code {{ font-family: ui-monospace, monospace }}
</style></head><body><main>{body}</main></body></html>
"""


def forward_page(target: str) -> str:
    """A page that goes on to a path of this server by itself."""
    address = html.escape(target)
    head = f'<meta http-equiv="refresh" content="0;url={address}">'
    return PAGE.format(head=head, body=f'<p><a href="{address}">Open the dashboard</a></p>')


def login_page(problem: str, target: str, has_password: bool) -> str:
    """A page that asks for the token, or the password."""
    secret = "Password, or token" if has_password else "Token"
    complaint = f'<p class="problem" role="alert">{html.escape(problem)}</p>' if problem else ""
    return PAGE.format(
        head="",
        body=f"""<h1>hopslite dashboard</h1>{complaint}
<p>Open the address that <code>hopslite dashboard</code> has printed: it ends in a token. Or enter it here.</p>
<form method="post" action="/login"><label for="secret">{secret}</label>
<input id="secret" name="secret" type="password" autocomplete="current-password" required autofocus>
<input type="hidden" name="next" value="{html.escape(target)}"><button>Open</button></form>""",
    )
