"""Signatures of the grid, made and checked with the machine's libsodium."""
import ctypes
import ctypes.util

_name = ctypes.util.find_library("sodium")
if _name is None:
    raise ImportError("libsodium is missing; third_party/install brings it")
_sodium = ctypes.CDLL(_name)
if _sodium.sodium_init() < 0:
    raise ImportError("libsodium does not start")


class Key:
    """An ed25519 key pair out of a seed of 32 bytes."""

    def __init__(self, seed):
        if len(seed) != 32:
            raise ValueError("a seed has 32 bytes")
        public = ctypes.create_string_buffer(32)
        self._secret = ctypes.create_string_buffer(64)
        _sodium.crypto_sign_seed_keypair(public, self._secret, seed)
        self.public = public.raw

    def sign(self, message):
        signature = ctypes.create_string_buffer(64)
        _sodium.crypto_sign_detached(signature, None, message, ctypes.c_ulonglong(len(message)), self._secret)
        return signature.raw

    def made(self, signature, message):
        """Whether the signature of the message is this key's."""
        return len(signature) == 64 and 0 == _sodium.crypto_sign_verify_detached(
            signature, message, ctypes.c_ulonglong(len(message)), self.public)
