"""Who calls: bearer tokens of an OAuth authorization server, which this server trusts and is not."""

from mcp_docker.http.auth.claims import Failure, Verified
from mcp_docker.http.auth.introspection import IntrospectionVerifier
from mcp_docker.http.auth.jwt import JwtVerifier
from mcp_docker.http.auth.scopes import GroupMap, tiers

__all__ = ["Failure", "GroupMap", "IntrospectionVerifier", "JwtVerifier", "Verified", "tiers"]
