"""Say why bytes are not a request of HTTP/1.1: the parser's reason, and how the bytes begin."""

# Other protocols by their first bytes. Each is a usual fault of a set-up.
_OTHER_PROTOCOLS = {
    b"\x16\x03": "a TLS handshake on a port without TLS; use http://, or the gateway's TLS port",
    b"PRI * HTTP/2": "HTTP/2; send HTTP/1.1",
    b"PROXY ": "the PROXY protocol; turn it off in the proxy, such as send-proxy of HAProxy",
    b"\r\n\r\n\0\r\nQUIT\n": "the PROXY protocol, version 2; turn it off in the proxy",
    b"SSH-": "SSH",
}
BEGINNING_BYTES_MAX = 40


def reason(beginning: bytes, of_parser: str) -> str:
    """Return why a request that starts with `beginning` cannot be read, as one printable line."""
    for first_bytes, protocol in _OTHER_PROTOCOLS.items():
        if beginning.startswith(first_bytes):
            return f"this is {protocol}"
    # aiohttp shows the place by a line of spaces and ^, which says nothing in a log line.
    words = " ".join(of_parser.rstrip(" ^").split())
    return f"{words}; the request begins with {beginning[:BEGINNING_BYTES_MAX]!r}"
