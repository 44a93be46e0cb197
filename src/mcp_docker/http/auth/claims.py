"""What a token claims, and whether that will do. The same for signed tokens and for introspected ones."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from loguru import logger
from mcp.server.auth.provider import AccessToken
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mcp_docker.errors import McpDockerError

MOST_CHARACTERS = 16_384
YEAR_9999 = 253_402_300_799

Name = Annotated[str, Field(min_length=1, max_length=1_024)]
Moment = Annotated[int | float, Field(ge=0, le=YEAR_9999, allow_inf_nan=False)]
Words = str | list[str]


class Failure(StrEnum):
    """Why a token was refused: fixed words, so that they can label a metric."""

    TOO_LARGE = "too_large"
    MALFORMED = "malformed"
    HEADER = "header"
    TYPE = "type"
    ALGORITHM = "algorithm"
    UNKNOWN_KEY = "unknown_key"
    SIGNATURE = "signature"
    CLAIM_MISSING = "claim_missing"
    CLAIM_MALFORMED = "claim_malformed"
    ISSUER = "issuer"
    AUDIENCE = "audience"
    EXPIRED = "expired"
    NOT_YET_VALID = "not_yet_valid"
    SENDER_CONSTRAINED = "sender_constrained"
    INACTIVE = "inactive"
    UNAVAILABLE = "unavailable"
    INTERNAL = "internal"


class Rejected(McpDockerError):
    """A token is refused. Holds the reason, and nothing of the token."""

    def __init__(self, reason: Failure) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Verified(AccessToken):
    """An access token that holds; its `repr` does not show the token."""

    token: str = Field(repr=False)


class Claims(BaseModel):
    """What is read of a token. Other claims are kept as they are."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True, hide_input_in_errors=True)

    aud: Words
    iss: Name | None = None
    sub: Name | None = None
    exp: Moment | None = None
    nbf: Moment | None = None
    iat: Moment | None = None
    client_id: Name | None = None
    azp: Name | None = None
    scope: Words | None = None
    scp: Words | None = None
    cnf: Any = None


class SignedClaims(Claims):
    """What a signed token must claim."""

    iss: Name
    sub: Name
    exp: Moment


Model = TypeVar("Model", bound=Claims)


def read(model: type[Model], data: dict[str, Any]) -> Model:
    """The claims in `data`.

    Raises:
        Rejected: one is missing or of the wrong type.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        missing = all(
            problem["type"] == "missing" for problem in error.errors(include_url=False, include_context=False)
        )
    raise Rejected(Failure.CLAIM_MISSING if missing else Failure.CLAIM_MALFORMED)


def listed(words: Words | None) -> list[str]:
    """A list that a claim writes as one, or as words with single spaces between them."""
    return [word for word in (words.split(" ") if isinstance(words, str) else words or []) if word]


class Judge:
    """Says whether claims are meant for this server, and now.

    Args:
        issuer: what `iss` must equal, where it is claimed; None takes any.
        audiences: one of which `aud` must name.
        resource: what goes into `AccessToken.resource`; None: the audience that matched.
        clock_skew: seconds by which the clocks may differ.
        now: the time of day.
    """

    def __init__(
        self,
        issuer: str | None,
        audiences: Collection[str],
        resource: str | None,
        clock_skew: float,
        now: Callable[[], float],
    ) -> None:
        self.audiences = (audiences,) if isinstance(audiences, str) else tuple(audiences)
        if not self.audiences or not all(self.audiences):
            raise ValueError("an audience is needed, or every token of the issuer would do")
        if issuer == "":
            raise ValueError("the issuer is blank")
        if not 0 <= clock_skew <= 600:
            raise ValueError("the clock skew is between 0 and 600 seconds")
        self.issuer, self.resource, self.skew, self.now = issuer, resource, clock_skew, now

    def accept(self, token: str, claims: Claims) -> Verified:
        """The token, judged.

        `expires_at` is the second from which it is refused here, clock skew included: the SDK compares it exactly.

        Raises:
            Rejected: it is for somebody else, or not for now.
        """
        if self.issuer is not None and claims.iss is not None and claims.iss != self.issuer:
            raise Rejected(Failure.ISSUER)
        named = [claims.aud] if isinstance(claims.aud, str) else claims.aud
        ours = next((audience for audience in self.audiences if audience in named), None)
        if ours is None:
            raise Rejected(Failure.AUDIENCE)
        now = self.now()
        if claims.exp is not None and claims.exp + self.skew <= now:
            raise Rejected(Failure.EXPIRED)
        if max(claims.nbf or 0, claims.iat or 0) - self.skew > now:
            raise Rejected(Failure.NOT_YET_VALID)
        if claims.cnf is not None:  # bound to a key that its bearer would have to prove, and we ask for no proof
            raise Rejected(Failure.SENDER_CONSTRAINED)
        client = claims.client_id or claims.azp
        if client is None and claims.sub is None:
            raise Rejected(Failure.CLAIM_MISSING)
        issuer = claims.iss or self.issuer
        return Verified(
            token=token,
            client_id=client or "",
            scopes=listed(claims.scope if claims.scope is not None else claims.scp),
            expires_at=None if claims.exp is None else int(claims.exp + self.skew),
            resource=self.resource or ours,
            subject=claims.sub,
            claims=claims.model_dump(exclude_none=True) | ({"iss": issuer} if issuer else {}),
        )


class Verifier(ABC):
    """The SDK's `TokenVerifier`: what holds is returned, and every failure is None and told to `on_failure`."""

    def __init__(self, on_failure: Callable[[str], None] | None) -> None:
        self.on_failure = on_failure

    async def verify_token(self, token: str) -> AccessToken | None:
        """Who the token speaks for; None when it does not hold."""
        try:
            if len(token) > MOST_CHARACTERS:
                raise Rejected(Failure.TOO_LARGE)
            return await self.verified(token)
        except Rejected as rejected:
            reason = rejected.reason
        except Exception as error:  # noqa: BLE001 - a stranger's bytes are refused at worst; a traceback may show them
            logger.error("verifying a token failed: {}", type(error).__name__)
            reason = Failure.INTERNAL
        logger.debug("a token was refused: {}", reason)
        if self.on_failure is not None:
            self.on_failure(reason)
        return None

    @abstractmethod
    async def verified(self, token: str) -> Verified:
        """The token, if it holds; `Rejected` otherwise."""

    @abstractmethod
    async def aclose(self) -> None:
        """Let go of connections, and end what is under way."""
