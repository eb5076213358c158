//! The root of an epoch's distributions (contract, section 8; RFC 6962, section 2.1).

use std::collections::BTreeMap;
use std::fmt::Write;

use sha2::{Digest, Sha256};

type Hash = [u8; 32];

const BUCKETS: usize = 4096;

/// The root over `account -> id|amount`, in lower-case hex. `hashed` is the part of an account's name that decides its
/// bucket.
pub fn root(leaf_by_account: &BTreeMap<String, String>, hashed: impl Fn(&str) -> &str) -> String {
    let mut buckets: BTreeMap<usize, Vec<&[u8]>> = BTreeMap::new();
    // The map is sorted by the bytes of accounts.
    for (account, leaf) in leaf_by_account {
        buckets
            .entry(bucket(hashed(account)))
            .or_default()
            .push(leaf.as_bytes());
    }
    let mut bucket_roots = vec![tree_hash(&[]); BUCKETS];
    for (bucket, leaves) in &buckets {
        bucket_roots[*bucket] = tree_hash(leaves);
    }
    let top_leaves: Vec<&[u8]> = bucket_roots.iter().map(<Hash>::as_slice).collect();
    tree_hash(&top_leaves).iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}"); // writing to a string cannot fail
        hex
    })
}

/// The first 12 bits of the name's hash.
fn bucket(account: &str) -> usize {
    let hash = sha256(&[account.as_bytes()]);
    (usize::from(hash[0]) << 4) | usize::from(hash[1] >> 4)
}

pub fn tree_hash(leaves: &[&[u8]]) -> Hash {
    match leaves {
        [] => sha256(&[]),
        [leaf] => sha256(&[&[0x00], leaf]),
        _ => {
            let mut split = 1; // the largest power of two below the number of leaves
            while split * 2 < leaves.len() {
                split *= 2;
            }
            let (left, right) = leaves.split_at(split);
            let left_hash = tree_hash(left);
            // Most buckets are empty, so most halves are the same.
            let right_hash = if left == right { left_hash } else { tree_hash(right) };
            sha256(&[&[0x01], &left_hash, &right_hash])
        }
    }
}

fn sha256(parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}
