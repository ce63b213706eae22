"""Names of settings and variables that hold secrets, and harmless values under such names."""

from __future__ import annotations

import enum
import functools
import re

__all__ = ["Likelihood", "NAME_STEMS", "likelihood_of", "looks_random", "may_stand", "words_of"]

NAME_STEMS = "pass|pwd|secret|token|key|cred|auth|pat|jwt|bearer|hook|cookie|sas|sig|pin"


def words_of(text: str) -> frozenset[str]:
    return frozenset(text.split())


LOOKED_AT = 200  # characters of a value that show what it is
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_ENDING = re.compile(
    r"(?:passw(?:or)?d|passphrase|secret|credentials?|(?:api|access|secret|private|auth|account)_?key)s?$"
)
PASSWORDS = {"password", "passwords", "passwd", "passphrase", "pwd", "pass", "pgpass", "secret", "secrets"}
SECRETS = {"bearer", "cookie", "cred", "creds", "jwt", "pat", "sas"}
# What makes a secret of the word `key` after it. A sort key, a primary key or an optimization key is none.
OF_KEYS = words_of(
    "access account admin ai anthropic api app auth aws azure cohere comet consumer customer deepseek deploy "
    "encryption gcp gemini github gitlab google groq hf host huggingface kaggle langsmith license master mistral "
    "neptune openai openrouter pinecone private project provider rsa secret sendgrid service session shared sign "
    "signing ssh ssl stripe subscription tls together wandb client c"
)
NO_SECRET_AFTER = words_of(
    "algorithm alias bits class count dim dims enabled file format id index length limit max min name names num "
    "path policy provider renewal retry schedule size store strategy type url wait"
)
# What makes a key of a table of it, which is no secret.
OF_TABLES = words_of("cache dict foreign group index join map metric optimization order partition primary sort")
# Special tokens of language models are ordinary hyperparameters.
OF_TOKENS = words_of(
    "additional audio begin bos class cls content decoder embed end eos first forced image input last mask max "
    "min n new next num number out output pad padding pre prompt sep separator special start stop sub target "
    "text unk unknown video word"
)
FREE_VALUES = {"", "none", "null", "true", "false", "yes", "no", "on", "off", "auto", "default", "basic", "oauth"}
FREE_VALUES |= {"oauth2", "bearer", "simple", "kerberos", "custom", "env", "(redacted)", "***", "*********(redacted)"}


class Likelihood(enum.Enum):
    """Degrees in which a name marks its value: as a password, as secret, or as possibly secret."""

    PASSWORD = 3
    SECRET = 2
    MAYBE = 1
    NOTHING = 0


@functools.lru_cache(4096)
def likelihood_of(name: str) -> Likelihood:
    """Likelihood that the value under a name is a secret.

    >>> likelihood_of("spark.ssl.keyPassword").name, likelihood_of("OPENAI_KEY").name, likelihood_of("lock_key").name
    ('PASSWORD', 'SECRET', 'MAYBE')
    >>> likelihood_of("pad_token").name, likelihood_of("optimization_key").name
    ('NOTHING', 'NOTHING')
    """
    words = [word.lower() for word in _WORD.findall(name.rpartition("/")[2])]
    if not words:
        return Likelihood.NOTHING
    is_measure = words[-1] in NO_SECRET_AFTER
    if not is_measure and any(word in PASSWORDS or _ENDING.search(word) for word in words):
        return Likelihood.PASSWORD
    if not is_measure and not SECRETS.isdisjoint(words):
        return Likelihood.SECRET
    if "webhook" in words or "webhooks" in words:
        return Likelihood.SECRET
    return _of_keys_and_tokens(name, words, is_measure)


def _of_keys_and_tokens(name: str, words: list[str], is_measure: bool) -> Likelihood:
    before = dict(zip(words[1:], words[:-1], strict=False))
    is_key_id = words[-3:] in (["access", "key", "id"], ["secret", "key", "id"])
    if "key" in words and (not is_measure or is_key_id):
        is_variable = name.isupper() and words[-1] == "key"
        if before.get("key") in OF_KEYS or is_variable:
            return Likelihood.SECRET
    if words[-1] == "key" and before.get("key") in OF_TABLES:
        return Likelihood.NOTHING
    if words[-1].endswith("token"):
        return Likelihood.NOTHING if len(words) > 1 and words[-2] in OF_TOKENS else Likelihood.SECRET
    if words[-1] in ("auth", "authorization"):
        return Likelihood.SECRET
    if not {"key", "keys", "token", "auth", "sig", "signature"}.isdisjoint(words):
        return Likelihood.MAYBE
    return Likelihood.NOTHING


def may_stand(name: str, value: str) -> bool:
    """True if a value is harmless although, or because, it stands under this name."""
    how = likelihood_of(name)
    if how is Likelihood.NOTHING or value.strip().lower() in FREE_VALUES:
        return True
    if how is Likelihood.MAYBE:
        return not looks_random(value)
    return name.lower().endswith("token") and re.fullmatch(r"<\|?\w{1,20}\|?>|\[\w{1,20}\]", value) is not None


def looks_random(value: str) -> bool:
    """True if a text looks like a generated key: long, without spaces, with letters and digits mixed."""
    value = value[:LOOKED_AT]
    if re.search(r"\s", value):
        return False
    compact = re.sub(r"[-_:.]", "", value)
    if re.fullmatch(r"(?:[0-9a-f]{24,}|[0-9A-F]{24,})", compact):
        return True
    longest = max(re.split(r"[-_:./,]", value), key=len)
    changes = len(re.findall(r"(?<=[a-zA-Z])\d|(?<=\d)[a-zA-Z]|(?<=[a-z])[A-Z]", longest))
    return len(longest) >= 12 and any(map(str.isdigit, longest)) and changes >= 3
