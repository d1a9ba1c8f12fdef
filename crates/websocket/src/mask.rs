//! Removing the client's mask (RFC 6455 section 5.3).

/// Unmasks `data` in place, eight bytes at a time; `data` begins where `key` begins.
pub(crate) fn unmask(data: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = data.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    // The words are whole turns of the key, so the remainder starts at its first byte.
    for (byte, key) in rest.iter_mut().zip([a, b, c, d, a, b, c, d]) {
        *byte ^= key;
    }
}

/// The key as it stands after `consumed` more payload bytes.
pub(crate) fn advance(mut key: [u8; 4], consumed: usize) -> [u8; 4] {
    key.rotate_left(consumed % 4);
    key
}

/// Appends `masked` to `out`, unmasked: one copy, then an in-place pass over bytes that are still in cache.
pub(crate) fn append_unmasked(out: &mut Vec<u8>, masked: &[u8], key: [u8; 4]) {
    let start = out.len();
    out.extend_from_slice(masked);
    if let Some(added) = out.get_mut(start..) {
        unmask(added, key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_definition_at_every_length_and_phase() {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        for len in 0..70usize {
            let plain: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
            let masked: Vec<u8> = plain.iter().enumerate().map(|(i, byte)| byte ^ key[i % 4]).collect();
            for cut in 0..=len {
                let mut out = Vec::new();
                append_unmasked(&mut out, &masked[..cut], key);
                append_unmasked(&mut out, &masked[cut..], advance(key, cut));
                assert_eq!(out, plain, "length {len}, cut at {cut}");
            }
        }
    }
}
