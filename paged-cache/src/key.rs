//! Block keys: what a full block's content is called in the prefix index.
//!
//! The key of a block is a BLAKE3 keyed hash whose key is the key of the block before it and whose
//! message is the block's token ids, then whatever else its content depends on. The first parent is
//! the cache's identity. So a key names the whole prefix up to its block, under one model, dtype,
//! scale set and tenant. It has 256 bits: two different prefixes share a key with a chance of 2⁻¹²⁸
//! after 2⁶⁴ blocks, and finding such a pair on purpose breaks BLAKE3. A hit therefore needs no look
//! at the tokens, and none are kept.

use std::fmt;
use std::ops::Range;

/// The name of a full block's content and of all before it.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockKey(pub(crate) [u64; 4]);

impl BlockKey {
    /// The key's 32 bytes.
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// The key of these 32 bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let mut words = [0; 4];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            let mut le = [0; 8];
            le.copy_from_slice(chunk);
            *word = u64::from_le_bytes(le);
        }
        Self(words)
    }
}

impl fmt::Display for BlockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BlockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}…", self.0[0].swap_bytes())
    }
}

/// A fingerprint of everything the content of all blocks depends on: model id, KV dtype, scale
/// fingerprint, layout, and what else the caller knows. Blocks written under one identity are never
/// found under another. Each part counts as a unit: `["ab", "c"]` and `["a", "bc"]` differ.
pub fn identity<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("paged-cache 2026 cache identity");
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    *hasher.finalize().as_bytes()
}

/// The first parent of all blocks of `block_size` tokens in a cache.
pub(crate) fn cache_root(identity: &[u8; 32], block_size: usize) -> BlockKey {
    let message = (block_size as u64).to_le_bytes();
    BlockKey::from_bytes(*blake3::keyed_hash(identity, &message).as_bytes())
}

/// The first parent of a tenant's or an adapter's blocks.
pub(crate) fn prompt_root(root: BlockKey, salt: &[u8], lora: &str) -> BlockKey {
    if salt.is_empty() && lora.is_empty() {
        return root;
    }
    let mut hasher = blake3::Hasher::new_keyed(&root.to_bytes());
    hasher.update(&(salt.len() as u64).to_le_bytes()).update(salt).update(lora.as_bytes());
    BlockKey::from_bytes(*hasher.finalize().as_bytes())
}

/// Something besides its tokens that blocks depend on: the hash of an image behind placeholders, say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extra {
    pub(crate) range: Range<usize>,
    pub(crate) key: Box<[u8]>,
}

/// The tokens that fit the stack buffer of [`chain`].
const BUFFERED: usize = 64;

/// The key of the block after `parent` that holds `tokens`, the first of them at position `start`.
///
/// The message is the tokens in little-endian order, then for each extra that overlaps the block its
/// length, where it begins relative to the block, and its bytes. The number of tokens is part of the
/// root, so no two contents make one message.
pub(crate) fn chain(parent: BlockKey, tokens: &[u32], start: usize, extras: &[Extra]) -> BlockKey {
    let end = start + tokens.len();
    let mut overlapping =
        extras.iter().filter(|extra| extra.range.start < end && extra.range.end > start).peekable();
    let parent = parent.to_bytes();
    let mut bytes = [0; 4 * BUFFERED];
    if overlapping.peek().is_none() && tokens.len() <= BUFFERED {
        let message = pack(tokens, &mut bytes);
        return BlockKey::from_bytes(*blake3::keyed_hash(&parent, message).as_bytes());
    }
    let mut hasher = blake3::Hasher::new_keyed(&parent);
    for part in tokens.chunks(BUFFERED) {
        hasher.update(pack(part, &mut bytes));
    }
    for extra in overlapping {
        let offset = extra.range.start as i64 - start as i64;
        hasher.update(&(extra.key.len() as u64).to_le_bytes());
        hasher.update(&offset.to_le_bytes()).update(&extra.key);
    }
    BlockKey::from_bytes(*hasher.finalize().as_bytes())
}

fn pack<'b>(tokens: &[u32], bytes: &'b mut [u8; 4 * BUFFERED]) -> &'b [u8] {
    for (chunk, token) in bytes.chunks_exact_mut(4).zip(tokens) {
        chunk.copy_from_slice(&token.to_le_bytes());
    }
    &bytes[..4 * tokens.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> BlockKey {
        cache_root(&[7; 32], 4)
    }

    #[test]
    fn the_key_is_the_documented_keyed_hash() {
        let tokens = [1_u32, 2, 3, 0x0403_0201];
        let bytes: Vec<u8> = tokens.iter().flat_map(|t| t.to_le_bytes()).collect();
        let expected = blake3::keyed_hash(&root().to_bytes(), &bytes);
        assert_eq!(chain(root(), &tokens, 8, &[]).to_bytes(), *expected.as_bytes());
        let long: Vec<u32> = (0..100).collect();
        let bytes: Vec<u8> = long.iter().flat_map(|t| t.to_le_bytes()).collect();
        let expected = blake3::keyed_hash(&root().to_bytes(), &bytes);
        assert_eq!(chain(root(), &long, 0, &[]).to_bytes(), *expected.as_bytes());
    }

    #[test]
    fn every_input_changes_the_key() {
        let extra = |range, key: &[u8]| Extra { range, key: key.into() };
        let image = [extra(3..9, b"image a")];
        let plain = chain(root(), &[1, 2, 3, 4], 4, &[]);
        let keys = [
            plain,
            chain(plain, &[1, 2, 3, 4], 4, &[]),
            chain(root(), &[1, 2, 4, 3], 4, &[]),
            chain(root(), &[1, 2, 3, 4], 4, &image),
            chain(root(), &[1, 2, 3, 4], 4, &[extra(3..9, b"image b")]),
            chain(root(), &[1, 2, 3, 4], 4, &[extra(2..9, b"image a")]),
            chain(root(), &[1, 2, 3, 4], 4, &[extra(3..9, b"image"), extra(3..9, b" a")]),
            chain(cache_root(&[8; 32], 4), &[1, 2, 3, 4], 4, &[]),
            chain(cache_root(&[7; 32], 8), &[1, 2, 3, 4], 4, &[]),
            chain(prompt_root(root(), b"tenant", ""), &[1, 2, 3, 4], 4, &[]),
            chain(prompt_root(root(), b"", "tenant"), &[1, 2, 3, 4], 4, &[]),
        ];
        for (i, a) in keys.iter().enumerate() {
            assert!(keys[..i].iter().all(|b| a != b), "key {i} is not its own");
        }
        // An extra of other blocks changes nothing.
        assert_eq!(chain(root(), &[1, 2, 3, 4], 12, &image), plain);
    }

    #[test]
    fn identities_keep_their_parts_apart() {
        let id = |parts: &[&str]| identity(parts.iter().map(|part| part.as_bytes()));
        assert_ne!(id(&["ab", "c"]), id(&["a", "bc"]));
        assert_ne!(id(&["ab"]), id(&["ab", ""]));
        assert_eq!(id(&["ab", "c"]), id(&["ab", "c"]));
    }

    #[test]
    fn keys_print_as_their_bytes() {
        let key = BlockKey::from_bytes(std::array::from_fn(|i| i as u8));
        assert!(key.to_string().starts_with("000102030405"));
        assert_eq!(format!("{key:?}"), "0001020304050607…");
        assert_eq!(BlockKey::from_bytes(key.to_bytes()), key);
    }
}
