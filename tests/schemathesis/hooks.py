"""What Schemathesis is told beyond the document of the API, for tests/it/serve/described.rs.

SOFTSTAKE_KNOWN names a file of JSON: `places` are accounts that were paid, each with an asset and an epoch; `own` is the account of a
customer's token, or null. SOFTSTAKE_SEEN names the file that gets a line for each answer.
"""

import json
import os
import re
import unicodedata
from datetime import date, datetime, time, timezone
from urllib.parse import parse_qs, quote, unquote, urlsplit

import requests
import schemathesis
from hypothesis import strategies as st

with open(os.environ["SOFTSTAKE_KNOWN"], encoding="utf-8") as known:
    KNOWN = json.load(known)
SEEN = open(os.environ["SOFTSTAKE_SEEN"], "a", encoding="utf-8")
PLACES = KNOWN["places"]


@schemathesis.hook
def before_load_schema(ctx, raw_schema):
    """Gives each parameter the values of the run as examples, and lets no answer have a field that is not described."""
    if not KNOWN["headers"]:
        # A process without keys asks for no token.
        del raw_schema["security"]
    for methods in raw_schema["paths"].values():
        for parameter in methods["get"]["parameters"]:
            values = [place[parameter["name"]] for place in PLACES if parameter.get("name") in place]
            if values:
                parameter.pop("example", None)
                parameter["examples"] = {f"known-{number}": {"value": value} for number, value in enumerate(values)}
    schemas = raw_schema["components"]["schemas"]
    raw_schema["components"]["schemas"] = {name: closed(schema, schemas) for name, schema in schemas.items()}


def closed(schema, schemas):
    """The schema of one object with the fields of all its parts, and no others."""
    if "allOf" not in schema and "properties" not in schema:
        return schema
    whole = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    for part in schema.get("allOf", [schema]):
        if "$ref" in part:
            part = closed(schemas[part["$ref"].rsplit("/", 1)[1]], schemas)
        whole["properties"].update(part.get("properties", {}))
        whole["required"].extend(part.get("required", []))
    return whole


def is_valid(case):
    """Whether the case is meant to be accepted."""
    return case.meta is None or case.meta.generation.mode.is_positive


@schemathesis.hook
def flatmap_case(ctx, case):
    """Lets half of the valid cases name records of the run, and some say that they have the answer already."""
    if not is_valid(case):
        return st.just(case)
    places = st.one_of(st.none(), st.sampled_from(PLACES))
    return st.tuples(places, st.sampled_from([None] * 9 + ["*"])).map(lambda drawn: with_known(case, *drawn))


def with_known(case, place, tag):
    for name in (case.query or {}).keys() & (place or {}).keys():
        case.query[name] = place[name]
    for name in (case.path_parameters or {}).keys() & (place or {}).keys():
        # Elsewhere, too, a case has its path as it is sent. Requests itself quotes what no path may have.
        case.path_parameters[name] = re.sub("[%/?#]", lambda found: quote(found[0], safe=""), str(place[name]))
    if tag:
        case.headers["If-None-Match"] = tag
    return case


@schemathesis.hook
def before_call(ctx, case, kwargs):
    """Puts right what no JSON Schema can say of a valid case."""
    if not is_valid(case):
        return
    query = case.query or {}
    for name, most in (("account", 128), ("asset", 32)):
        if name in query:
            query[name] = printable(query[name], most)
        elif name in (case.path_parameters or {}):
            asked = unquote(case.path_parameters[name])
            if printable(asked, most) != asked:
                case.path_parameters[name] = quote(printable(asked, most), safe="")
    if "from" in query and "to" in query and not is_before(query["from"], query["to"]):
        del query["to"]
    if "at" in query and not is_before(query["at"], datetime.now(timezone.utc).isoformat()):
        del query["at"]
    if "cursor" in query:
        query["cursor"] = next_cursor(case)
        if query["cursor"] is None:
            del query["cursor"]


def printable(name, most):
    """The name without what has no glyph, cut to its longest length in bytes."""
    kept = "".join(one for one in name if unicodedata.category(one) not in ("Cc", "Cf", "Zl", "Zp", "Cs"))
    return kept.encode()[:most].decode(errors="ignore") or "A"


def is_before(start, end):
    """Whether the first time is the earlier one; false for a leap second, which Python cannot read."""

    def moment(text):
        if len(text) == len("2026-11-22"):
            return datetime.combine(date.fromisoformat(text), time.min, timezone.utc)
        return datetime.fromisoformat(text.upper().replace("Z", "+00:00"))

    try:
        return moment(start) < moment(end)
    except ValueError:
        return False


def next_cursor(case):
    """The cursor that the list itself gives behind its first item."""
    if case.query.get("format") == "csv":
        return None
    query = {name: value for name, value in case.query.items() if name != "cursor"} | {"limit": 1}
    answer = requests.get(KNOWN["url"] + case.formatted_path, params=query, headers=KNOWN["headers"], timeout=60)
    return answer.json().get("next") if answer.status_code == 200 else None


@schemathesis.hook
def after_call(ctx, case, response):
    seen = {"path": case.operation.path, "status": response.status_code, "valid": is_valid(case)}
    SEEN.write(json.dumps(seen) + "\n")
    SEEN.flush()


@schemathesis.check
def no_unknown_parameter_is_taken(ctx, response, case):
    # As it was sent: names without a value are left out.
    asked = parse_qs(urlsplit(response.request.url).query, keep_blank_values=True)
    unknown = asked.keys() - {parameter.name for parameter in case.operation.query}
    if unknown and response.status_code != 400:
        assert response.status_code in (401, 403, 405), f"{unknown} is no parameter"


@schemathesis.check
def a_customer_sees_no_other_account(ctx, response, case):
    account = (case.path_parameters or {}).get("account")
    if KNOWN["own"] is not None and account is not None and response.status_code == 200:
        assert unquote(account) == KNOWN["own"], f"{account} is not the account of the token"
