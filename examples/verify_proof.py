#!/usr/bin/env python3
"""Checks a proof of a payout: verify_proof.py PROOF.json ROOT

Written from section 8 of docs/contract.md and RFC 6962 alone, with nothing of Softstake in it. Ends with status 0 if the proof
holds, with 1 and a sentence if not, with 2 if an argument is missing. Take the root from the seal of the epoch, or from
somebody you trust.
"""
import hashlib
import json
import re
import sys
import unicodedata


def need(holds, sentence):
    if not holds:
        raise ValueError(sentence)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def number(value):
    need(type(value) is int and 0 <= value < 2**64, f"{value!r} where a whole number has to be")
    return value


def text(pattern, value):
    need(type(value) is str and re.fullmatch(pattern, value), f"{value!r} is not of the form {pattern}")
    return value


def digest(value):
    return bytes.fromhex(text("[0-9a-f]{64}", value))


def root_of(leaf, index, size, hashes):
    """The root that an audit path leads to (RFC 9162, section 2.1.3.2)."""
    need(number(index) < number(size), "a leaf outside of its tree")
    node, here, last = sha256(b"\0", leaf), index, size - 1
    for other in map(digest, hashes):
        need(last > 0, "a path that is too long")
        if here & 1 or here == last:
            node = sha256(b"\1", other, node)
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            node = sha256(b"\1", node, other)
        here, last = here >> 1, last >> 1
    need(last == 0, "a path that is too short")
    return node


def verify(wanted, /, *, format, id, asset, epoch, account, amount, bucket, in_bucket, bucket_root, in_epoch, root):
    need(number(format) == 1, "a format other than 1")
    need(digest(root) == digest(wanted), f"a proof for root {root}")
    # The leaf is a text of several fields: it says one thing only if none of them can hold what separates them.
    need(1 <= len(asset.encode()) <= 32 and ":" not in asset, "an asset of no or too many bytes, or with a colon")
    need(not any(unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp", "Zs") for c in asset), "an unprintable or blank asset")
    text(r"(0|[1-9][0-9]*)(\.[0-9]*[1-9])?", amount)
    need(1 <= len(account.encode()) <= 128, "an account of no or too many bytes")
    need(not any(unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp") for c in account), "an unprintable account")
    need(id == f"{asset}:{number(epoch)}:{account}", "an id that is not of this payout")
    owner = account.split("/")[0] or account  # An account that begins with "/" is its own owner.
    ours = int.from_bytes(sha256(owner.encode())[:2], "big") >> 4
    need((number(bucket), in_epoch["index"], in_epoch["size"]) == (ours, ours, 4096), "the wrong bucket")
    need(root_of(f"{id}|{amount}".encode(), **in_bucket) == digest(bucket_root), "a payout that is not in its bucket")
    need(root_of(digest(bucket_root), **in_epoch) == digest(root), "a bucket that is not under the root")


def once(pairs):
    need(len(dict(pairs)) == len(pairs), "a field that is there twice")
    return dict(pairs)


def shown(name):
    """A name as a terminal may get it: what it might hide, or show like another blank, is escaped."""
    hidden = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0]")
    plain = (c if c == " " or c.isprintable() and not hidden.match(c) else f"\\u{{{ord(c):x}}}" for c in name)
    return "".join(plain)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        print("usage: verify_proof.py PROOF.json ROOT", file=sys.stderr)
        print("ROOT is the `root` in the seal of the epoch. Without it a proof proves nothing.", file=sys.stderr)
        sys.exit(2)
    try:
        with open(sys.argv[1], encoding="utf-8") as file:
            proof = json.load(file, object_pairs_hook=once)
    except OSError as wrong:
        sys.exit(f"cannot read {shown(sys.argv[1])}: {wrong.strerror}")
    except Exception as wrong:
        sys.exit(f"it proves nothing: it is no file of `softstake prove`: {wrong!r}")
    try:
        verify(sys.argv[2].lower(), **proof)
    except Exception as wrong:  # Whatever is wrong with it, it proves nothing.
        sys.exit(f"it proves nothing: {wrong!r}")
    print(f"proven: {shown(proof['account'])} was paid {proof['amount']} for epoch {proof['epoch']} of {shown(proof['asset'])}")
