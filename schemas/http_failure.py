"""Say in words why a server of HTTP gave no answer."""

import aiohttp

from schemas.os_errors import error_text
from schemas.url_text import without_url_secrets

# aiohttp's texts of these errors are short, or have the whole URL.
_TEXTS: dict[type[BaseException], str] = {
    aiohttp.ServerDisconnectedError: "the connection was closed before an answer",
    aiohttp.ClientPayloadError: "the connection was closed within the answer",
    aiohttp.InvalidURL: "its address is not a URL of HTTP",
}


def http_failure(error: Exception) -> str:
    """
    Return why a server gave no answer, without secrets of its URL.

    aiohttp's own texts of a failed connection have the whole key of the connection, and asyncio's
    repeat the address.
    """
    text = next((text for kind, text in _TEXTS.items() if isinstance(error, kind)), "")
    match error:
        case aiohttp.ClientConnectorCertificateError():
            text = f"its certificate is not accepted ({certificate_fault(error)})"
        case aiohttp.ClientConnectorDNSError():
            text = f"its name cannot be resolved: {error_text(error.os_error)}"
        case aiohttp.ClientConnectorSSLError():
            # Its errno is of OpenSSL.
            text = f"TLS fails: {getattr(error.os_error, 'reason', None) or error.os_error}"
        case aiohttp.ClientConnectorError():
            text = _uncapitalized(error_text(error.os_error))
        case aiohttp.ClientResponseError():
            # Its repr has the headers of the request, also the signature of a webhook.
            text = f"its answer is not HTTP: {error.message}"
        case OSError() if not text:
            text = _uncapitalized(error_text(error))
    return text or without_url_secrets(str(error)) or type(error).__name__


def _uncapitalized(text: str) -> str:
    return text[:1].lower() + text[1:]


def certificate_fault(error: aiohttp.ClientConnectorCertificateError) -> str:
    """Return why a certificate is not accepted."""
    fault = error.certificate_error
    return str(getattr(fault, "verify_message", fault))
