"""Which files of a build context look like secrets. Neither a caller nor a repository lifts this; the operator does."""

import fnmatch
import re
from collections.abc import Callable, Iterable

from mcp_docker.engine.ignored import Pattern

BEGINNING = 1 << 16

_NAMES = """
    .env .env.* .env-* .env_* .envrc *.key *.p12 *.pfx *.pkcs12 *.jks *.keystore *.kdbx *.kdb *.ppk
    id_rsa id_dsa id_ecdsa id_ed25519 id_*_sk
    .netrc _netrc .npmrc .pypirc .git-credentials .htpasswd .dockercfg .pgpass .my.cnf .s3cfg .boto
    .vault-token .vault_pass .terraformrc terraform.rc kubeconfig *.kubeconfig
    application_default_credentials.json credentials.json client_secret*.json service-account*.json
    service_account*.json terraform.tfstate* *.tfvars *.tfvars.json secrets.yml secrets.yaml secrets.json
    .ssh .aws .azure .kube .gnupg .gcloud .password-store
""".split()
_PATHS = frozenset(
    """
    .docker/config.json .config/gcloud .config/gh .cargo/credentials .cargo/credentials.toml .gem/credentials
    .m2/settings.xml
    """.split()
)
_EXAMPLES = (".example", ".sample", ".template", ".dist", ".defaults")
_MAY_HOLD_A_KEY = "*.pem *.crt *.cer *.cert *.asc id_* *_rsa *_dsa *_ecdsa *_ed25519".split()


def _any_of(globs: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{fnmatch.translate(glob)})" for glob in globs))


_NAME, _KEY_FILE = _any_of(_NAMES), _any_of(_MAY_HOLD_A_KEY)
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY")
_GIT_PASSWORD = re.compile(rb"(?i)extraheader|://[^/\s:@]*:[^/\s@]+@")


class Rule:
    """Tells which paths of a context look like secrets.

    Args:
        lifted: paths or globs within the context that are sent all the same.
        beginning: reads the beginning of a file, by its path; nothing of what is no file.
    """

    def __init__(self, lifted: Iterable[str], beginning: Callable[[str], bytes]) -> None:
        self._beginning = beginning
        self._lifted = [pattern for each in lifted if (pattern := Pattern(each)).text and not pattern.takes_back]

    def looks(self, path: str) -> bool:
        """Whether a file or folder looks like a secret by its name or, where that leaves it open, by what is in it."""
        lowered = path.lower()
        name = lowered.rpartition("/")[2]
        last_two = "/".join(lowered.split("/")[-2:])
        if _NAME.fullmatch(name):
            return not (name.startswith(".env") and name.endswith(_EXAMPLES))
        if last_two in _PATHS:
            return True
        if last_two == ".git/config":
            return _GIT_PASSWORD.search(self._beginning(path)) is not None
        return _KEY_FILE.fullmatch(name) is not None and _PRIVATE_KEY.search(self._beginning(path)) is not None

    def lifts(self, path: str) -> bool:
        """Whether the operator wants it sent all the same, it or a folder that it is in."""
        return any(pattern.matches(each) for pattern in self._lifted for each in _ways(path))

    def may_lift_below(self, folder: str) -> bool:
        """Whether the operator may want something sent that is in this folder."""
        depth = folder.count("/") + 1
        return any(
            "**" in pattern.text
            or (depth <= pattern.text.count("/") and Pattern("/".join(pattern.text.split("/")[:depth])).matches(folder))
            for pattern in self._lifted
        )

    def keeps_back(self, path: str) -> bool:
        """Whether a path is not sent: it, or a folder that it is in, looks like a secret that nobody lifted."""
        return any(map(self.looks, _ways(path))) and not self.lifts(path)


def _ways(path: str) -> list[str]:
    """The folders that a path is in, and itself."""
    parts = path.split("/")
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]
