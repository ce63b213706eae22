"""The driver's side of the HMAC handshake of `multiprocessing.connection`, frame by frame and without blocking.

Each side proves by an HMAC of the other's random bytes that it knows the run's key. The slots' side is Python's own
`answer_challenge` and `deliver_challenge`.
"""

from __future__ import annotations

import hmac
import os

from .framing import encode_frame

__all__ = ["Handshake", "MAX_HANDSHAKE_FRAME"]

MAX_HANDSHAKE_FRAME = 256  # bytes of a frame, as in `multiprocessing.connection`
CHALLENGE, WELCOME, FAILURE = b"#CHALLENGE#", b"#WELCOME#", b"#FAILURE#"
SHA256 = b"{sha256}"  # names the digest, from Python 3.12 on; before, it is MD5 and has no name
NONCE_BYTES = 40


class Handshake:
    """One handshake: `challenge` is sent first, then the `answer` to each frame.

    `peer_verified`: the other side has proven that it knows the key. `completed`: it has also verified this side.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._nonce = SHA256 + os.urandom(NONCE_BYTES)
        self._challenge_answered = False
        self.peer_verified = self.completed = False

    @property
    def challenge(self) -> bytes:
        """The first frame to be sent: a random challenge."""
        return encode_frame(CHALLENGE + self._nonce)

    def answer(self, frame: bytes) -> bytes:
        """The reply to a frame. With a wrong key it is `FAILURE`, and `peer_verified` remains False.

        Raises:
            ValueError: the frame does not belong to a handshake.
        """
        if not self.peer_verified:
            names_digest = frame.startswith(SHA256)
            expected = self._digest(self._nonce) if names_digest else self._hmac(self._nonce, "md5")
            self.peer_verified = hmac.compare_digest(frame, expected)
            return encode_frame(WELCOME if self.peer_verified else FAILURE)
        if not self._challenge_answered:
            if not frame.startswith(CHALLENGE):
                raise ValueError("a frame that is not a challenge")
            self._challenge_answered = True
            return encode_frame(self._digest(frame.removeprefix(CHALLENGE)))
        if frame != WELCOME:
            raise ValueError("a frame that is not a welcome")
        self.completed = True
        return b""

    def _digest(self, message: bytes) -> bytes:
        """HMAC of a challenge with the digest that it names, prefixed with the name."""
        if message.startswith(SHA256):
            return SHA256 + self._hmac(message, "sha256")
        return self._hmac(message, "md5")

    def _hmac(self, message: bytes, digest: str) -> bytes:
        """HMAC of a message with the run's key."""
        return hmac.new(self._key, message, digest).digest()
