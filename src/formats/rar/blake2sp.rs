//! BLAKE2sp (RFC 7693 and the BLAKE2 paper 2.10): eight leaves of BLAKE2s, which take turns at blocks of the content, and
//! a root over what they give.

/// Octets of a block, and leaves.
const BLOCK: usize = 64;
const LEAVES: u8 = 8;

/// RFC 7693 2.6.
const START: [u32; 8] =
    [0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];

/// RFC 7693 2.7.
const ORDERS: [[usize; 16]; 10] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
    [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
    [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
    [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
    [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
    [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
    [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
    [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];

/// The hash of `octets`.
pub fn hash(octets: &[u8]) -> [u8; 32] {
    let leaves: Vec<u8> = (0..LEAVES)
        .flat_map(|leaf| {
            let blocks = octets.chunks(BLOCK).skip(leaf.into()).step_by(LEAVES.into());
            node(blocks, leaf, 0, leaf.saturating_add(1) == LEAVES)
        })
        .collect();
    node(leaves.chunks(BLOCK), 0, 1, true)
}

/// BLAKE2s of blocks, of which only the last may be short, as a node of the tree.
fn node<'a>(blocks: impl Iterator<Item = &'a [u8]>, offset: u8, depth: u8, is_last: bool) -> [u8; 32] {
    // Octets of the digest, fan-out and depth; the place of the leaf; its depth, and octets of inner digests.
    let parameters = [u32::from_le_bytes([32, 0, LEAVES, 2]), 0, offset.into(), u32::from_le_bytes([0, 0, depth, 32])];
    let mut state = START;
    state.iter_mut().zip(parameters).for_each(|(word, parameter)| *word ^= parameter);
    let mut blocks = blocks.peekable();
    let mut count = 0_u64;
    loop {
        let block = blocks.next().unwrap_or_default();
        let is_end = blocks.peek().is_none();
        count = count.wrapping_add(block.len() as u64);
        compress(&mut state, block, count, is_end, is_end && is_last);
        if is_end {
            let mut digest = [0; 32];
            digest.chunks_exact_mut(4).zip(state).for_each(|(to, word)| to.copy_from_slice(&word.to_le_bytes()));
            return digest;
        }
    }
}

/// RFC 7693 3.2.
fn compress(state: &mut [u32; 8], block: &[u8], count: u64, is_end: bool, is_last_node: bool) {
    let mut words = [0_u32; 16];
    for (word, octets) in words.iter_mut().zip(block.chunks(4)) {
        let mut four = [0; 4];
        four.iter_mut().zip(octets).for_each(|(to, from)| *to = *from);
        *word = u32::from_le_bytes(four);
    }
    let [a0, a1, a2, a3, a4, a5, a6, a7] = *state;
    let [b0, b1, b2, b3, b4, b5, b6, b7] = START;
    let (low, high) = (count as u32, (count >> 32) as u32);
    let (end, last) = (if is_end { u32::MAX } else { 0 }, if is_last_node { u32::MAX } else { 0 });
    // Four rows.
    let mut rows = [[a0, a1, a2, a3], [a4, a5, a6, a7], [b0, b1, b2, b3], [b4 ^ low, b5 ^ high, b6 ^ end, b7 ^ last]];
    for order in ORDERS {
        let message = order.map(|index| words.get(index).copied().unwrap_or_default());
        let [x0, y0, x1, y1, x2, y2, x3, y3, x4, y4, x5, y5, x6, y6, x7, y7] = message;
        mix(&mut rows, [x0, x1, x2, x3], [y0, y1, y2, y3]);
        // Diagonals are columns of turned rows.
        turn(&mut rows, [0, 1, 2, 3]);
        mix(&mut rows, [x4, x5, x6, x7], [y4, y5, y6, y7]);
        turn(&mut rows, [0, 3, 2, 1]);
    }
    let [a, b, c, d] = rows;
    let first = a.iter().chain(&b).zip(c.iter().chain(&d));
    state.iter_mut().zip(first).for_each(|(word, (above, below))| *word ^= above ^ below);
}

fn turn(rows: &mut [[u32; 4]; 4], by: [usize; 4]) {
    rows.iter_mut().zip(by).for_each(|(row, by)| row.rotate_left(by));
}

/// RFC 7693 3.1 on each column.
fn mix(rows: &mut [[u32; 4]; 4], x: [u32; 4], y: [u32; 4]) {
    let [a, b, c, d] = rows;
    let columns = a.iter_mut().zip(b).zip(c).zip(d);
    for ((((a, b), c), d), (x, y)) in columns.zip(x.into_iter().zip(y)) {
        *a = a.wrapping_add(*b).wrapping_add(x);
        *d = (*d ^ *a).rotate_right(16);
        *c = c.wrapping_add(*d);
        *b = (*b ^ *c).rotate_right(12);
        *a = a.wrapping_add(*b).wrapping_add(y);
        *d = (*d ^ *a).rotate_right(8);
        *c = c.wrapping_add(*d);
        *b = (*b ^ *c).rotate_right(7);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers of the reference implementation (blake2-kat.json, `blake2sp` without a key) for octets 0, 1, 2, ….
    #[test]
    fn answers_of_the_reference_implementation() {
        let hex = |size: u8| data_encoding::HEXLOWER.encode(&hash(&(0..size).collect::<Vec<u8>>()));
        assert_eq!(hex(0), "dd0e891776933f43c7d032b08a917e25741f8aa9a12c12e1cac8801500f2ca4f");
    }
}
