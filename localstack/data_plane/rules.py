"""Which rule of a listener a request meets."""

import functools
import ipaddress
import re
from dataclasses import dataclass
from typing import Any, Mapping


@dataclass
class Call:
    """What conditions look at, and what redirects are made of."""

    scheme: str
    host: str
    port: int
    method: str
    path: str
    query: str
    headers: Any
    source: str


@functools.lru_cache(maxsize=4096)
def pattern(text: str, ignore_case: bool) -> "re.Pattern[str]":
    """`*` stands for any characters, `?` for one; a backslash takes their meaning away."""
    parts = []
    for token in re.findall(r"\\[*?\\]|.", text, flags=re.S):
        parts.append({"*": ".*", "?": "."}.get(token) or re.escape(token[-1]))
    return re.compile("".join(parts), re.S | (re.I if ignore_case else 0))


def like(texts: list[str], value: str, ignore_case: bool = True) -> bool:
    return any(pattern(text, ignore_case).fullmatch(value) for text in texts)


def query_meets(wanted: list[Mapping[str, str]], query: str) -> bool:
    """A pair matches by key and value; a value without a key matches that of any key. Neither is decoded."""
    pairs = [part.partition("=")[::2] for part in query.split("&") if part]
    return any(
        like([want["Value"]], value) and (not want.get("Key") or like([want["Key"]], key))
        for want in wanted
        for key, value in pairs
    )


def meets(condition: Mapping[str, Any], call: Call) -> bool:
    """Host names, headers and queries are compared whatever their case; paths and methods are not."""

    def values(config: str) -> list:
        return condition.get(config, {}).get("Values") or condition.get("Values") or []

    field = condition["Field"]
    if field == "host-header":
        return like(values("HostHeaderConfig"), call.host)
    if field == "path-pattern":
        return like(values("PathPatternConfig"), call.path, ignore_case=False)
    if field == "http-request-method":
        return call.method in values("HttpRequestMethodConfig")
    if field == "http-header":
        sent = call.headers.getall(condition["HttpHeaderConfig"]["HttpHeaderName"], ())
        return any(like(values("HttpHeaderConfig"), value) for value in sent)
    if field == "query-string":
        return query_meets(values("QueryStringConfig"), call.query)
    if field == "source-ip":
        source = ipaddress.ip_address(call.source)
        return any(source in ipaddress.ip_network(value, strict=False) for value in values("SourceIpConfig"))
    return False


def action_for(listener, call: Call) -> Mapping[str, Any]:
    """The last action of the first rule, by priority, whose conditions are all met; the default rule meets any request.
    (Actions before the last one only authenticate, which is left out.)"""
    rules = sorted(list(listener._non_default_rules.values()), key=lambda rule: int(rule.priority))
    met = next((rule for rule in rules if all(meets(condition, call) for condition in rule.conditions)), None)
    actions = (met or listener._default_rule[0]).actions
    return max((action.data for action in actions), key=lambda data: int(data.get("Order") or 0))


def location(config: Mapping[str, str], call: Call) -> str:
    """Where a redirect leads: its parts, in which #{protocol}, #{host}, #{port}, #{path} and #{query} stand for those of
    the request."""
    known = {
        "protocol": call.scheme.upper(),
        "host": call.host,
        "port": str(call.port),
        "path": call.path.lstrip("/"),
        "query": call.query,
    }

    def part(name: str, otherwise: str) -> str:
        return re.sub(r"#\{(\w+)\}", lambda found: known.get(found[1], ""), config.get(name) or otherwise)

    query = part("Query", "#{query}")
    address = f"{part('Protocol', '#{protocol}').lower()}://{part('Host', '#{host}')}:{part('Port', '#{port}')}"
    return address + part("Path", "/#{path}") + (f"?{query}" if query else "")
