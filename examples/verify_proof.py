#!/usr/bin/env python3
"""Checks a proof of a payout: verify_proof.py PROOF.json ROOT

Written from section 8 of docs/contract.md and RFC 6962 alone, with nothing of Softstake in it. Ends with status 0 if the proof
holds, with 1 and a sentence if not. Take the root from the seal of the epoch, or from somebody you trust.
"""
import hashlib
import json
import sys


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def root_of(leaf, index, size, hashes):
    """The root that an audit path leads to (RFC 9162, section 2.1.3.2)."""
    assert 0 <= index < size, "a leaf outside of its tree"
    node, here, last = sha256(b"\0", leaf), index, size - 1
    for other in map(bytes.fromhex, hashes):
        assert last > 0 and len(other) == 32, "a path that is too long, or holds no hashes"
        if here & 1 or here == last:
            node = sha256(b"\1", other, node)
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            node = sha256(b"\1", node, other)
        here, last = here >> 1, last >> 1
    assert last == 0, "a path that is too short"
    return node


def verify(proof, root):
    account, paid = proof["account"], f"{proof['asset']}:{proof['epoch']}:{proof['account']}"
    assert proof["id"] == paid, "an id that is not of this payout"
    bucket = int.from_bytes(sha256(account.encode())[:2], "big") >> 4
    in_bucket, in_epoch = proof["in_bucket"], proof["in_epoch"]
    assert (proof["bucket"], in_epoch["index"], in_epoch["size"]) == (bucket, bucket, 4096), "the wrong bucket"
    bucket_root = root_of(f"{paid}|{proof['amount']}".encode(), **in_bucket)
    assert bucket_root.hex() == proof["bucket_root"], "a payout that is not under the root of its bucket"
    assert root_of(bucket_root, **in_epoch).hex() == root, "a bucket that is not under the root"


if __name__ == "__main__":
    try:
        with open(sys.argv[1], encoding="utf-8") as file:
            proof = json.load(file)
        verify(proof, sys.argv[2].lower())
    except Exception as wrong:  # Whatever is wrong with it, it proves nothing.
        sys.exit(f"it proves nothing: {wrong!r}")
    print(f"proven: {proof['account']} was paid {proof['amount']} {proof['asset']} for epoch {proof['epoch']}")
