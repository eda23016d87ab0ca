"""The password of Valkey in a file, which a URL names: valkey://host:6379/0?password_file=PATH."""

from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from valkey.credentials import CredentialProvider

from schemas.setting import Secret

PARAMETER = "password_file"


class PasswordFile(CredentialProvider):
    """It is read for each new connection, so a password may change while a process runs."""

    def __init__(self, path: Path, user: str) -> None:
        """Without a `user`, the password is the default user's."""
        self._path = path
        self._user = user

    def get_credentials(self) -> tuple[str] | tuple[str, str]:
        """
        Return the user, if there is one, and the password.

        Raises:
            OSError: the file cannot be read.
        """
        password = self._path.read_text().strip()
        return (self._user, password) if self._user else (password,)


def without_password_file(url: Secret) -> tuple[Secret, PasswordFile | None]:
    """Return the URL without the parameter, which Valkey's client does not know, and the file."""
    parts = urlsplit(url)
    parameters = dict(parse_qsl(parts.query, keep_blank_values=True))
    if PARAMETER not in parameters:
        return url, None
    path = Path(parameters.pop(PARAMETER))
    user, _, host = parts.netloc.rpartition("@")
    # The client refuses a user or a password of the URL beside a provider.
    shorter = parts._replace(netloc=host, query=urlencode(parameters))
    return Secret(urlunsplit(shorter)), PasswordFile(path, unquote(user.partition(":")[0]))
