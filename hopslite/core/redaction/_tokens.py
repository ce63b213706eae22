"""Secrets recognised by their form alone: tokens of known services, headers, signed web hooks, PEM blocks."""

from __future__ import annotations

import base64
import binascii
import re

__all__ = ["REDACTED", "without_tokens"]

REDACTED = "(redacted)"
_LONG = re.compile(r"[\w+/=.-]{16}")  # shorter texts are never tokens
_END = r"(?![A-Za-z0-9])"
_BEGIN = r"(?<![A-Za-z0-9])"

_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----|\Z)", re.S)
_HEADER = re.compile(
    r"(?i)((?<![\w])(?:proxy-)?authorization\\?[\"']?\s*(?:[:=]|,|=>)\s*(?:b?\\?[\"'])?)(?!\(redacted\))[^\r\n\"'\\]+"
    r"|((?<![\w])(?:set-)?cookie\\?[\"']?\s*:\s*(?:b?\\?[\"'])?)(?!\(redacted\))[^\r\n\"'\\]+"
)
_BEARER = re.compile(r"(?i)(\b(?:bearer|negotiate)(?:\s+|%20|\+))([A-Za-z0-9._~+/=-]{6,})")
_BASIC = re.compile(r"(?i)(\bbasic(?:\s+|%20|\+))([A-Za-z0-9+/]{6,}={0,2})")
# URLs whose path is the secret: up to what all of them have in common.
_HOOK = re.compile(
    r"(?i)(https?://(?:hooks\.slack\.com/(?:services|workflows|triggers)|(?:\w{1,60}\.)?discord(?:app)?\.com/api/(?:v\d+/)?webhooks"
    r"|[\w.-]{0,100}webhook\.office\.com|outlook\.office(?:365)?\.com/webhook|hooks\.zapier\.com/hooks"
    r"|maker\.ifttt\.com/trigger|chat\.googleapis\.com/v1/spaces|[\w.-]{1,100}\.logic\.azure\.com(?::\d+)?/workflows"
    r"|[^\s/\"']{1,200}(?:/[\w.-]{1,100}){0,8}?/(?:web)?hooks?))/(?!\(redacted\))[^\s\"'<>]+"
)
_TELEGRAM = re.compile(r"(?i)(api\.telegram\.org/(?:file/)?bot)\d+:[\w-]+")
_CONDA = re.compile(r"(https?://[^\s/]{1,200}/t/)[\w-]{6,}(?=/)")  # channels of anaconda.org with a token in their path
_CONNECTION = re.compile(r"(?i)((?:AccountKey|SharedAccessKey|SharedAccessSignature|SharedSecret)\s*=\s*)[^;\s\"']+")
_KNOWN = re.compile(
    _BEGIN + r"(?:"
    r"eyJ[\w-]{6,}\.[\w-]{6,}(?:\.[\w-]*)*"  # JSON web tokens
    r"|(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA|AGPA|AIDA|AIPA|ANPA|ANVA|AROA|APKA|ASCA)[A-Z0-9]{12,}" + _END + r""
    r"|ABSK[A-Za-z0-9+/]{40,}={0,2}"
    r"|gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{20,}"
    r"|gl(?:pat|ptt|dt|rt|cbt|ft|soat|agent|imt|oas)-[\w.-]{16,}"
    r"|sk-(?:proj|svcacct|admin|ant|or|lf|live|test)-[\w-]{12,}"
    r"|sk-(?=[A-Za-z0-9]*\d)(?=[A-Za-z0-9]*[A-Za-z])[A-Za-z0-9]{16,}" + _END + r""
    r"|[srp]k_(?:live|test|prod)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/=]{16,}"
    r"|hf_[A-Za-z0-9]{16,}|api_org_[A-Za-z0-9]{20,}|npm_[A-Za-z0-9]{20,}|pypi-[\w-]{30,}|rubygems_[0-9a-f]{32,}"
    r"|dckr_pat_[\w-]{16,}|do[opr]_v1_[0-9a-f]{32,}|dapi[0-9a-f]{32}(?:-\d)?|dp\.(?:pt|st|ct|sa|scim)\.[\w.-]{20,}"
    r"|xox[abeoprs](?:\.xox[bp])?-[\w-]{8,}|xapp-\d-[\w-]{10,}"
    r"|AIza[\w-]{30,}|ya29\.[\w-]{16,}|GOCSPX-[\w-]{16,}|1//0[\w-]{30,}"
    r"|SG\.[\w-]{16,}\.[\w-]{16,}|key-[0-9a-f]{32}"
    + _END
    + r"|xkeysib-[0-9a-f]{32,}[\w-]*|shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"
    r"|sq0(?:atp|csp)-[\w-]{20,}|EAACEdEose0cBA[A-Za-z0-9]+|NRAK-[A-Z0-9]{20,}|gl(?:sa|c)_[\w+/=]{24,}"
    r"|lin_api_[A-Za-z0-9]{20,}|ntn_[A-Za-z0-9]{30,}|secret_[A-Za-z0-9]{40,}|PMAK-[0-9a-f]{20,}-[0-9a-f]{20,}"
    r"|hv[sbr]\.[\w-]{20,}|r8_[A-Za-z0-9]{20,}|gsk_[A-Za-z0-9]{20,}|pplx-[A-Za-z0-9]{20,}|nvapi-[\w-]{20,}|tvly-[\w-]{16,}"
    r"|pcsk_\w{20,}|lsv2_(?:pt|sk)_\w{20,}|wandb_v\d_\w{20,}|fw_[A-Za-z0-9]{20,}|xai-[A-Za-z0-9]{30,}|AGE-SECRET-KEY-1[A-Z0-9]{20,}"
    r"|atlasv1\.[\w-]{20,}|[A-Za-z0-9]{14}\.atlasv1\.[\w-]{20,}|ATATT3[\w=-]{30,}|ATBB[A-Za-z0-9]{20,}|figd_[\w-]{20,}"
    r")"
)


def without_tokens(text: str) -> str:
    """Redact tokens that are known by their form."""
    lower = text.lower()
    if "-----begin" in lower:
        text = _PEM.sub(REDACTED, text)
    if "authorization" in lower or "cookie" in lower:
        text = _HEADER.sub(lambda match: f"{match[1] or match[2]}{REDACTED}", text)
    if "bearer" in lower or "negotiate" in lower:
        text = _BEARER.sub(_without_bearer, text)
    if "basic" in lower:
        text = _BASIC.sub(_without_basic, text)
    if "://" in lower:
        text = _HOOK.sub(rf"\1/{REDACTED}", text)
        text = _CONDA.sub(rf"\g<1>{REDACTED}", text)
    if "telegram" in lower:
        text = _TELEGRAM.sub(rf"\g<1>{REDACTED}", text)
    if "account" in lower or "shared" in lower:
        text = _CONNECTION.sub(rf"\g<1>{REDACTED}", text)
    return _KNOWN.sub(REDACTED, text) if _LONG.search(text) else text


def _without_bearer(match: re.Match[str]) -> str:
    """Redact a word after `bearer` that has a digit or is long, and so is no word of a language."""
    token = match[2].rstrip(".")
    is_token = any(map(str.isdigit, token)) or len(token) >= 20
    return f"{match[1]}{REDACTED}" if is_token else match[0]


def _without_basic(match: re.Match[str]) -> str:
    """Redact `name:password` in base64 after `basic`; other words, as in "basic training", stay."""
    text = match[2].rstrip("=")
    try:
        is_pair = b":" in base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return match[0]
    return f"{match[1]}{REDACTED}" if is_pair else match[0]
