"""What exactly is hidden, and that everything around it stays as it was written."""

import re
from typing import Any

import pytest

from mcp_docker import redact
from mcp_docker.redact.secrets import hide, hide_text

CHANGED = [
    # what a name says: a password may be a number, a path in pwd is the folder, a token has eight characters in prose
    ("password=12345", "password=[REDACTED]"),
    ("pwd=hunter2", "pwd=[REDACTED]"),
    ("password=/x9Hunter", "password=[REDACTED]"),
    ("connection string: app:pw1@db/x", "connection string: app:[REDACTED]@db/x"),
    ("[REDACTED] password=hunter2", "[REDACTED] password=[REDACTED]"),
    ("pwd=12345", "pwd=[REDACTED]"),
    ("pwd=Xenon1", "pwd=[REDACTED]"),
    ("my password: opensesame", "my password: [REDACTED]"),
    ("- token: opensesame", "- token: [REDACTED]"),
    ("auth: bob:hunter2", "auth: [REDACTED]"),
    ("auth=Ym9iOmh1bnRlcjI=", "auth=[REDACTED]"),
    ("auth=Ym9iOmh1bnRlcjI", "auth=[REDACTED]"),
    ("the token: abcdef12", "the token: [REDACTED]"),
    ("the token: abcdefgh1 said", "the token: [REDACTED] said"),
    ("  token: opensesame;", "  token: [REDACTED];"),
    ("token: opensesame }", "token: [REDACTED] }"),
    ("access key: abc123de", "access key: [REDACTED]"),
    ("connection string: Server=db;Password=hunter2", "connection string: Server=db;Password=[REDACTED]"),
    ("api_key=a1 secret=b2 token=c3", "api_key=[REDACTED] secret=[REDACTED] token=[REDACTED]"),
    # where a value ends
    ("password: hunter2.", "password: [REDACTED]."),
    ("password: hunter2, user: bob", "password: [REDACTED], user: bob"),
    ("password: 12345.", "password: [REDACTED]."),
    ('"password=" token=abc123', '"password=" token=[REDACTED]'),
    ("password: hunter2: no", "password: [REDACTED]: no"),
    ('password="hunter2\\\\" user=bob', 'password="[REDACTED]" user=bob'),
    ("password=hunter2)", "password=[REDACTED])"),
    ("password=hunter2. x", "password=[REDACTED] x"),
    ("password='it\\'s hunter2' x", "password='[REDACTED]' x"),
    ('password="hunter2', 'password="[REDACTED]'),
    ('password=b"hunter2"', 'password=b"[REDACTED]"'),
    ('token: "a" "b"', 'token: "[REDACTED]" "b"'),
    ('echo "password: hunter2"', 'echo "password: [REDACTED]"'),
    ("body={\\'user\\':\\'bob\\',\\'token\\':\\'a\\'}", "body={\\'user\\':\\'bob\\',\\'token\\':\\'[REDACTED]\\'}"),
    # headers and cookies
    ("authorization: bearer abc", "authorization: bearer [REDACTED]"),
    ("Cookie: sid=abc123; theme=dark", "Cookie: sid=[REDACTED]; theme=[REDACTED]"),
    ('Cookie: "a=b1; c=d1"', 'Cookie: "a=[REDACTED]; c=[REDACTED]"'),
    ("Set-Cookie: a=b1; Path=/; theme=dark", "Set-Cookie: a=[REDACTED]; Path=/; theme=dark"),
    ("sent basic dXNlcjpwYXNz twice", "sent basic [REDACTED] twice"),
    # phrases, tags and instructions
    ("password is 123456", "password is [REDACTED]"),
    ("masterauth hunter2", "masterauth [REDACTED]"),
    ('identified by "hunter2"', 'identified by "[REDACTED]"'),
    ("<password>12345</password>", "<password>[REDACTED]</password>"),
    ("Step 3/8 : ENV API_TOKEN hunter2secret", "Step 3/8 : ENV API_TOKEN [REDACTED]"),
    ("ENV DB_PASSWORD 123456", "ENV DB_PASSWORD [REDACTED]"),
    # commands
    ("mysql -phunter2 shop", "mysql -p[REDACTED] shop"),
    ("app --password 12345 -v", "app --password [REDACTED] -v"),
    ("app --password hunter2 -v", "app --password [REDACTED] -v"),
    ("sshpass -p hunter2 ssh -p 22 host", "sshpass -p [REDACTED] ssh -p 22 host"),
    ("sqlcmd -S db -P hunter2 -Q x", "sqlcmd -S db -P [REDACTED] -Q x"),
    ("unzip -P hunter2 a.zip", "unzip -P [REDACTED] a.zip"),
    ("curl -u bob:12345 x", "curl -u bob:[REDACTED] x"),
    # tokens and URLs
    ("renewed s.2Wq7kXyZ0aBcDeFgHiJkLmNo today", "renewed [REDACTED] today"),
    ("postgres://a:12345@c/d redis://:e@f", "postgres://a:[REDACTED]@c/d redis://:[REDACTED]@f"),
    ("at https://hooks.slack.com/services/T0/B0/abcdefgh", "at https://hooks.slack.com/services/[REDACTED]"),
]
SAME = [
    # what a name says of something else
    "token=12345",
    "<token>12345</token>",
    "token=team/app",
    "pwd=/home/bob",
    "password=/run/secrets/db",
    "pass=12",
    "AUTH=plain",
    "the token: abcde12",
    "the token: opensesame",
    "token: opensesame for you",
    "PASS: test_token abcdef12 9",
    "docker login: unexpected token: abcdefg12",
    # what stands for a value
    "password=${DB_PASSWORD}",
    "password=****",
    "password=<hidden>",
    "password: hunter...",
    'password="true"',
    "password: forgotten by everybody",
    'password=["a"]',
    "password=config.pw",
    "password=get(x)",
    "password==hunter2",
    "--password required",
    "--token TOKEN",
    # what only begins like a secret
    "password is expired.",
    'Authorization: Bearer realm="x"',
    "<b>token</b>",
    "basic instincts",
    "bearer of news",
    "http://x:8080/a@b",
    "a://b:${PW}@c",
]


@pytest.mark.parametrize(("text", "expected"), CHANGED)
def test_a_secret_is_hidden_and_nothing_beside_it(text: str, expected: str) -> None:
    assert hide_text(text) == expected
    assert hide_text(f"before\n{text}\nafter") == f"before\n{expected}\nafter"
    assert redact.clean({"output": text}, hide=True)[0] == {"output": expected}


@pytest.mark.parametrize("text", SAME)
def test_what_is_no_secret_stays(text: str) -> None:
    assert hide_text(text) == text


HIDDEN = "[REDACTED]"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"name": "DB_PASSWORD", "value": "x1"}, {"name": "DB_PASSWORD", "value": HIDDEN}),
        ({"Name": "DB_PASSWORD", "Value": "x1"}, {"Name": "DB_PASSWORD", "Value": HIDDEN}),
        ({"key": "DB_PASSWORD", "value": "x1"}, {"key": "DB_PASSWORD", "value": HIDDEN}),
        ({"Key": "DB_PASSWORD", "Value": "x1"}, {"Key": "DB_PASSWORD", "Value": HIDDEN}),
        ({"cookie": "hunter2"}, {"cookie": HIDDEN}),
        ({"cookie": "a=b; c=d"}, {"cookie": f"a={HIDDEN}; c={HIDDEN}"}),
        ({"set-cookie": "a=b; Path=/; c=d"}, {"set-cookie": f"a={HIDDEN}; Path=/; c=d"}),
        ({"name": "HOME", "value": "/root"}, {"name": "HOME", "value": "/root"}),
        ({"auth": "YTpi"}, {"auth": HIDDEN}),
        (["app", "--password", "new"], ["app", "--password", HIDDEN]),
        (["app", "--password", "true"], ["app", "--password", "true"]),
        ({"token": ["x", "y"]}, {"token": [HIDDEN, HIDDEN]}),
        ({"auth": ["a:b"]}, {"auth": ["a:b"]}),
        (["-e", "TOKEN=x y"], ["-e", f"TOKEN={HIDDEN}"]),
        (["--label", "token=x y"], ["--label", f"token={HIDDEN}"]),
        (["TOKEN=x y", "HOME=z"], [f"TOKEN={HIDDEN}", "HOME=z"]),
        (["TOKEN=x y", "z"], [f"TOKEN={HIDDEN} y", "z"]),
        (["TOKEN=true story"], ["TOKEN=true story"]),
        (["--token=x y", "z"], [f"--token={HIDDEN}", "z"]),
        (["run", "--password", "x y"], ["run", "--password", HIDDEN]),
        ({"Path": "curl", "Args": ["-u", "bob:x1", "y"]}, {"Path": "curl", "Args": ["-u", f"bob:{HIDDEN}", "y"]}),
        ({"Path": "curl", "Args": ["-u", 5]}, {"Path": "curl", "Args": ["-u", 5]}),
        ({"Path": "curl", "Args": []}, {"Path": "curl", "Args": []}),
        ({"Path": ["curl", 5], "Args": ["-u", "bob:x1"]}, {"Path": ["curl", 5], "Args": ["-u", "bob:x1"]}),
    ],
    ids=str,
)
def test_an_answer_keeps_what_is_no_secret(data: Any, expected: Any) -> None:
    padded = {"data": data, "more": "token"}
    assert hide(padded, redact.compact(padded)) == {"data": expected, "more": "token"}


BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n-----BEGIN K-----\n{0}\n{0}\n-----END K-----\n{0}", "a\n-----BEGIN K-----\n*\n*\n-----END K-----\n{0}"),
        ("-----BEGIN K-----\n{0}\nno key\n{0}", "-----BEGIN K-----\n*\nno key\n{0}"),
        ("{0}\n-----END K-----", "*\n-----END K-----"),
        ("-----BEGIN K-----\nProc-Type: 4\n\n{0}\nno key", "-----BEGIN K-----\nProc-Type: 4\n\n*\nno key"),
        ("x | -----BEGIN K-----\nx | ab\nx | -----END K-----", "x | -----BEGIN K-----\nx | *\nx | -----END K-----"),
        ("x | -----BEGIN K-----\n{0}\nx | -----END K-----", "x | -----BEGIN K-----\n*\nx | -----END K-----"),
        ("{0}\n-----END K-----\n{0}", "*\n-----END K-----\n{0}"),
        ("x: {0}\\n-----END K-----", "x:*-----END K-----"),
        ("-----END K----- -----BEGIN K-----\n{0}", "-----END K----- -----BEGIN K-----\n*"),
        ("{0}\nno key\n{0}\nlast\n-----END K-----", "{0}\nno key\n*\n*\n-----END K-----"),
        ("-----BEGIN K-----\n{0}\n-----BEGIN K-----\n{0}\n-----END K-----",
         "-----BEGIN K-----\n*\n-----BEGIN K-----\n*\n-----END K-----"),
        ("x | -----BEGIN K-----\nx | {0}\ny | no key\nx | -----END K-----",
         "x | -----BEGIN K-----\nx | *\ny | no key\nx | -----END K-----"),
        ("-----BEGIN K----- {0} -----END K----- and -----BEGIN K----- {0} -----END K-----",
         "-----BEGIN K-----*-----END K----- and -----BEGIN K-----*-----END K-----"),
        ("-----BEGIN K-----\nab\n{0}\nabcd\n-----END K-----\nab", "-----BEGIN K-----\n*\n*\n*\n-----END K-----\nab"),
        ("x | {0}\nx | ab\nx | -----END K-----", "x | *\nx | *\nx | -----END K-----"),
        (
            "-----END K----- x -----BEGIN K----- {0} -----END K-----",
            "-----END K----- x -----BEGIN K-----*-----END K-----",
        ),
        ("-----BEGIN K-----\\nProc-Type: 4\\n\\nab-----END K----- x", "-----BEGIN K-----*-----END K----- x"),
        (
            "x\n" * 250 + "-----BEGIN K-----\nab\n{0}\nab\n-----END K-----",
            "x\n" * 250 + "-----BEGIN K-----\n*\n*\n*\n-----END K-----",
        ),
        ("-----END K-----\n{0}\n-----END K-----", "-----END K-----\n*\n-----END K-----"),
        ("-----BEGIN K----------END K-----", "-----BEGIN K----------END K-----"),
    ],
)  # fmt: skip
def test_the_body_of_a_private_key_is_hidden_line_by_line(text: str, expected: str) -> None:
    def written(form: str) -> str:
        return form.replace(" K-----", " PRIVATE KEY-----").format(BODY).replace("*", HIDDEN)

    assert hide_text(written(text)) == written(expected)


def test_what_can_be_cut_is_cut_where_the_heaviest_can_not() -> None:
    ports = {str(number): number for number in range(30)}
    data = {"ports": ports, "rows": [{"about": "x" * 90, "note": "y" * 20}]}
    limit = len(redact.compact(data)) - 40
    short, said = redact.bound(data, limit)
    left = len(short["rows"][0]["about"])
    assert 1 < left < 90
    assert short == {"ports": ports, "rows": [{"about": "x" * left, "note": "y" * 20}]}
    assert said == [f"{left} of 90 characters of rows.0.about"]
    assert len(redact.compact(short)) <= limit


def test_no_more_is_cut_than_what_is_too_much() -> None:
    data = {"lines": [f"line {number:03}" for number in range(20)]}
    assert redact.bound(data, len(redact.compact(data))) == (data, [])
    short, said = redact.bound(data, len(redact.compact(data)) - 1)
    assert short == {"lines": data["lines"][:19]}
    assert said == ["19 of 20 items of lines"]
    assert redact.bound({"ids": [111_111, 222_222]}, 20) == ({"ids": [111_111]}, ["1 of 2 items of ids"])


def test_what_was_cut_and_is_gone_is_not_told_of() -> None:
    data = {"rows": [{"lines": ["x" * 30] * 20}, {"lines": ["y" * 29] * 20}]}
    short, said = redact.bound(data, 30)
    assert len(redact.compact(short)) <= 30
    assert all(re.fullmatch(r"\d+ of \d+ items of rows(?:\.0\.lines)?", words) for words in said)
    assert len(said) == len(set(said)) > 0


def test_a_private_key_in_the_items_of_a_list_is_hidden() -> None:
    items = ["ready", "-----BEGIN PRIVATE KEY-----", BODY, "-----END PRIVATE KEY-----", BODY]
    assert hide(items, redact.compact(items)) == [*items[:2], HIDDEN, *items[3:]]
