//! What RAR 4 (unpack version 29) and RAR 5 (version 50) take for packed, by the simplest of codes: every octet as it is,
//! or a long run of zeros.

/// Bits, the highest first.
#[derive(Default)]
struct Bits {
    octets: Vec<u8>,
    count: usize,
}

impl Bits {
    fn put(&mut self, value: usize, width: usize) {
        for shift in (0..width).rev() {
            if self.count.is_multiple_of(8) {
                self.octets.push(0);
            }
            *self.octets.last_mut().unwrap() |= ((value >> shift & 1) << (7 - self.count % 8)) as u8;
            self.count += 1;
        }
    }

    /// Lengths of codes, as both versions write them: those of the codes of lengths, then runs.
    fn lengths(&mut self, lengths: &[usize]) {
        // The twelve first by four bits, the others by five.
        (0..20).for_each(|length| self.put(if length < 12 { 4 } else { 5 }, 4));
        let mut rest = lengths;
        while let Some(first) = rest.first() {
            let run = rest.iter().take_while(|length| *length == first).count();
            let most = run.min(138);
            match (first, run) {
                (0, 11..) => {
                    self.length(19);
                    self.put(most - 11, 7);
                    rest = &rest[most..];
                }
                (_, 12..) => {
                    self.length(*first);
                    let more = (run - 1).min(138);
                    self.length(17);
                    self.put(more - 11, 7);
                    rest = &rest[more + 1..];
                }
                _ => {
                    self.length(*first);
                    rest = &rest[1..];
                }
            }
        }
    }

    /// The code of a length or a run.
    fn length(&mut self, length: usize) {
        if length < 12 { self.put(length, 4) } else { self.put(length + 12, 5) }
    }
}

/// Lengths of so many codes, all 0 but these.
fn table(size: usize, lengths: &[(usize, usize)]) -> Vec<usize> {
    let mut table = vec![0; size];
    lengths.iter().for_each(|(symbol, length)| table[*symbol] = *length);
    table
}

fn literals(size: usize, length: usize) -> Vec<usize> {
    let mut table = vec![0; size];
    table[..256].fill(length);
    table
}

/// Content for RAR 5: blocks of literals of eight bits.
pub fn five(content: &[u8]) -> Vec<u8> {
    let chunks: Vec<&[u8]> = if content.is_empty() { vec![&[]] } else { content.chunks(1 << 20).collect() };
    let last = chunks.len() - 1;
    let blocks = chunks.iter().enumerate().flat_map(|(n, chunk)| {
        let mut bits = Bits::default();
        bits.lengths(&[literals(306, 8), vec![0; 64 + 16 + 44]].concat());
        chunk.iter().for_each(|octet| bits.put((*octet).into(), 8));
        block(bits, n == last)
    });
    blocks.collect()
}

/// A block of RAR 5: flags, checksum, size, and bits.
fn block(bits: Bits, is_last: bool) -> Vec<u8> {
    let Bits { mut octets, count } = bits;
    // The bits of the last octet, less one; three octets of size; whether it is the last block; with tables.
    let flags = ((count + 7) % 8) as u8 | 2 << 3 | u8::from(is_last) << 6 | 0x80;
    let [low, middle, high, ..] = octets.len().to_le_bytes();
    octets.splice(0..0, [flags, 0x5a ^ flags ^ low ^ middle ^ high, low, middle, high]);
    octets
}

/// At least so many zeros for RAR 5, and how many they are: after the first, each bit is 4097.
pub fn zeros5(size: usize) -> (Vec<u8>, usize) {
    let mut bits = Bits::default();
    // The literal, the last match again, and a match of the greatest length; a distance of 1.
    let main = table(306, &[(0, 2), (257, 1), (305, 2)]);
    bits.lengths(&[main, table(64, &[(0, 1), (1, 1)]), vec![0; 16 + 44]].concat());
    bits.put(0b10, 2);
    bits.put(0b11, 2);
    bits.put(0x1ff, 9);
    bits.put(0, 1);
    let more = size.saturating_sub(4098).div_ceil(4097);
    (0..more).for_each(|_| bits.put(0, 1));
    (block(bits, true), 4098 + more * 4097)
}

/// Content for RAR 4: literals of nine bits.
pub fn four(content: &[u8]) -> Vec<u8> {
    let mut bits = Bits::default();
    // Literals follow; new tables.
    bits.put(0, 2);
    let mut main = literals(299, 9);
    main[256] = 1;
    bits.lengths(&[main, vec![0; 60 + 17 + 28]].concat());
    content.iter().for_each(|octet| bits.put(0x100 | usize::from(*octet), 9));
    // The end of the block is that of the file, and the next has tables of its own.
    bits.put(0, 1);
    bits.put(0b01, 2);
    bits.octets
}

/// At least so many zeros for RAR 4, and how many they are: after the first, each bit is 258.
pub fn zeros4(size: usize) -> (Vec<u8>, usize) {
    let mut bits = Bits::default();
    bits.put(0, 2);
    let main = table(299, &[(0, 2), (256, 3), (258, 1), (298, 3)]);
    bits.lengths(&[main, table(60, &[(0, 1), (1, 1)]), vec![0; 17 + 28]].concat());
    bits.put(0b10, 2);
    bits.put(0b111, 3);
    bits.put(0x1f, 5);
    bits.put(0, 1);
    let more = size.saturating_sub(259).div_ceil(258);
    (0..more).for_each(|_| bits.put(0, 1));
    bits.put(0b110, 3);
    bits.put(0b01, 2);
    (bits.octets, 259 + more * 258)
}
