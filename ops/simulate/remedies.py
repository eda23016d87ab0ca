"""Remedies for answers other than OK to `hookline simulate`."""

from collections.abc import Sequence

from ops.simulate.delivery import ANOTHER_SERVER_SUFFIX, CONNECTION_REFUSED, LATE, UNKNOWN_HOST
from ops.simulate.result import TrafficResult

# By the name of an answer of the public port, or by the status of a gateway's own answer.
BY_ANSWER = {
    "malformed": "the dead-letter topic has the bodies, with the reason; correct the lines of"
    " --replay",
    "unreadable": "a proxy before the ingress has changed the bodies; have it pass them on as they"
    " came",
    "not_http": "a proxy before the ingress has changed the requests; have it use HTTP/1.1",
    "not_ours": "name an app of the ingress by --sdkappid (OPS_SDKAPPID), or add this one to its"
    " INGRESS_SDKAPPIDS",
    "unsigned": "the ingress has a token for this app; give its tokens file by --tokens-file"
    " (OPS_TOKENS_FILE), or the token by OPS_TOKEN. The callbacks of an app"
    " that the tokens file does not name are not signed",
    "wrong_sign": "the ingress has other tokens for this app; give its tokens file by --tokens-file"
    " (OPS_TOKENS_FILE), or one of these tokens by OPS_TOKEN",
    "stale": "set the clocks of this machine and of the ingress's machine: they differ by more than"
    " the ingress allows",
    "not_here": "give the path of the ingress (INGRESS_PATH) in --url (OPS_URL)",
    "not_post": "a redirect, for example to https, turned the POST into a GET; give the URL to"
    " which it leads by --url (OPS_URL)",
    "slow": "the bodies came too slowly; send less at once by --rate or --connections",
    "too_large": "raise HOOKLINE_BODY_BYTES_MAX of the ingress, or leave these lines out of"
    " --replay",
    "unknown_coding": "a proxy before the ingress has encoded the bodies; have it pass them on as"
    " they came",
    "unavailable": "the reason is in the table; `hookline status` shows the disk and the spool of"
    " each ingress. The callback may be stored",
    "status 403": "add this machine's address to GATEWAY_ALLOW_LIST, or give an ingress by --url"
    " (OPS_URL)",
    "status 408": "the bodies came too slowly; send less at once by --rate or --connections",
    "status 429": "send less at once by --rate, or raise GATEWAY_SOURCE_REQUESTS_PER_S_MAX of the"
    " gateway",
    "status 500": "look at the log of the gateway. The callback may be stored",
    "status 502": "look at the log of the gateway and of the ingress. The callback may be stored",
    "status 503": "start the ingress, or look at its /readyz. The callback may be stored",
    "status 504": "the ingress is too slow or hangs: look at its log. The callback may be stored",
}
# By the reason of a callback that got no answer.
BY_REASON = {
    CONNECTION_REFUSED: "nothing listened at {urls}: start the ingress, or check --url (OPS_URL)",
    UNKNOWN_HOST: "check the name in --url (OPS_URL): {urls}",
    LATE: "the ingress, or this machine, was too slow: send less at once by --rate, or wait longer"
    " by --timeout. The callback may be stored",
}
# By the beginning of such a reason.
BY_BEGINNING = {
    "its certificate is not accepted": "SSL_CERT_FILE names a file with the certificate of an"
    " authority to trust, in PEM; or --url (OPS_URL) has another name than the certificate",
    "TLS fails": "check the scheme and the port of --url (OPS_URL), https or http: {urls}",
}
ANOTHER_SERVER = "another server answered, or the admin port: check --url (OPS_URL): {urls}"


def remedies(result: TrafficResult, urls: Sequence[str]) -> list[str]:
    """Return a line for each answer, or reason for none, about which something can be done."""
    lines = dict.fromkeys(_line(name, reason) for name, reason in result.by_reason)
    return [line.replace("{urls}", ", ".join(urls)) for line in lines if line]


def _line(name: str, reason: str) -> str:
    if reason.endswith(ANOTHER_SERVER_SUFFIX):
        return f"{name}: {ANOTHER_SERVER}"
    if remedy := BY_ANSWER.get(name):
        return f"{name}: {remedy}"
    if remedy := BY_REASON.get(reason):
        return f"{reason}: {remedy}"
    return next(
        (
            f"{start}: {remedy}"
            for start, remedy in BY_BEGINNING.items()
            if reason.startswith(start)
        ),
        "",
    )
