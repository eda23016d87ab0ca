"""Texts as keyed hashes of 63 bits, in decimal: the form in which hash_set.lua keeps them."""

import hashlib

# Hashes of this many accounts are kept, some 200 bytes each; people write again and again.
HASHES_MAX = 200_000
# The longest account whose hash is kept, in characters.
ACCOUNT_LENGTH_MAX = 128


class Hashes:
    """
    Hashes under one secret.

    Without the secret, a sender cannot make two texts with one hash, which would count as one.
    """

    def __init__(self, secret: bytes) -> None:
        self.secret = secret
        self._keyed = hashlib.blake2b(key=secret, digest_size=8)
        self._by_text: dict[str, str] = {}

    def of(self, text: bytes) -> str:
        """Return the hash of a text that hardly occurs twice."""
        keyed = self._keyed.copy()
        keyed.update(text)
        return str(int.from_bytes(keyed.digest()) >> 1)

    def of_account(self, account: str) -> str:
        """Return the hash of a text that occurs again and again."""
        account_hash = self._by_text.get(account)
        if account_hash is None:
            account_hash = self.of(account.encode())
            if len(self._by_text) >= HASHES_MAX:
                self._by_text.clear()
            # A body may hold a long text instead of an account.
            if len(account) <= ACCOUNT_LENGTH_MAX:
                self._by_text[account] = account_hash
        return account_hash
