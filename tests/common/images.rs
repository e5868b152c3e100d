//! Disk images made from nothing: ISO 9660 with Joliet, a floppy of FAT12, and virtual disks around them.

/// An ISO 9660 of these files in its root, with the names in 8.3; with `joliet` also in full.
pub fn iso(files: &[(&str, &[u8])], joliet: bool) -> Vec<u8> {
    let mut out = vec![0; 21 * 2048];
    let mut places = Vec::new();
    for (_, content) in files {
        places.push((out.len() / 2048, content.len()));
        out.extend_from_slice(content);
        out.resize(out.len().next_multiple_of(2048), 0);
    }
    let views: &[(usize, u8)] = if joliet { &[(16, 1), (17, 2)] } else { &[(16, 1)] };
    for (sector, kind) in views {
        let folder = 19 + usize::from(*kind) - 1;
        let descriptor = &mut out[sector * 2048..][..2048];
        descriptor[0] = *kind;
        descriptor[1..7].copy_from_slice(b"CD001\x01");
        descriptor[128..130].copy_from_slice(&2048_u16.to_le_bytes());
        descriptor[156..190].copy_from_slice(&record(folder, 2048, 2, &[0]));
        if *kind == 2 {
            descriptor[88..91].copy_from_slice(b"%/E");
        }
        let mut entries = [record(folder, 2048, 2, &[0]), record(folder, 2048, 2, &[1])].concat();
        for (number, ((name, _), (place, size))) in files.iter().zip(&places).enumerate() {
            let name = if *kind == 2 {
                format!("{name};1").encode_utf16().flat_map(u16::to_be_bytes).collect()
            } else {
                let extension: String = name.rsplit('.').next().unwrap().chars().take(3).collect();
                format!("FILE{number}.{};1", extension.to_uppercase()).into_bytes()
            };
            entries.extend(record(*place, *size, 0, &name));
        }
        out[folder * 2048..][..entries.len()].copy_from_slice(&entries);
    }
    out[18 * 2048..][..7].copy_from_slice(b"\xffCD001\x01");
    out
}

/// A directory record (ECMA-119 9.1).
pub fn record(sector: usize, size: usize, flags: u8, name: &[u8]) -> Vec<u8> {
    let length = (33 + name.len()).next_multiple_of(2);
    let mut out = vec![length as u8, 0];
    for value in [sector as u32, size as u32] {
        out.extend(value.to_le_bytes());
        out.extend(value.to_be_bytes());
    }
    out.extend([0; 7]);
    out.extend([flags, 0, 0, 1, 0, 0, 1, name.len() as u8]);
    out.extend(name);
    out.resize(length, 0);
    out
}

/// A floppy of FAT12 with one file; every other cluster is its.
pub fn floppy(name: &str, content: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 1440 * 1024];
    out[..3].copy_from_slice(b"\xeb\x3c\x90");
    out[11..24].copy_from_slice(&[0, 2, 1, 1, 0, 2, 0xe0, 0, 0x40, 0x0b, 0xf0, 9, 0]);
    out[510..512].copy_from_slice(b"\x55\xaa");
    let count = content.len().div_ceil(512);
    for number in 0..count {
        let cluster = 2 + 2 * number;
        let next = if number + 1 == count { 0xfff } else { cluster + 2 };
        // Even clusters: the low octet, and half of the next.
        let at = 512 + cluster * 3 / 2;
        out[at] = next as u8;
        out[at + 1] = (next >> 8) as u8;
        let piece = &content[number * 512..content.len().min(number * 512 + 512)];
        out[(33 + cluster - 2) * 512..][..piece.len()].copy_from_slice(piece);
    }
    let short = b"DELETE~1DOC";
    let sum = short.iter().fold(0_u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte));
    let mut units: Vec<u16> = name.encode_utf16().chain([0]).collect();
    units.resize(units.len().next_multiple_of(13), 0xffff);
    let mut entries = Vec::new();
    for (number, piece) in units.chunks(13).enumerate().rev() {
        let last = if (number + 1) * 13 == units.len() { 0x40 } else { 0 };
        let octets: Vec<u8> = piece.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        entries.extend([&[(number as u8 + 1) | last], &octets[..10], &[0x0f, 0, sum], &octets[10..22]].concat());
        entries.extend([&[0, 0], &octets[22..]].concat());
    }
    entries.extend(short);
    entries.extend([0x20; 1]);
    entries.extend([0; 14]);
    entries.extend([2, 0]);
    entries.extend((content.len() as u32).to_le_bytes());
    out[19 * 512..][..entries.len()].copy_from_slice(&entries);
    out
}

/// A disk with one partition that starts at sector 63.
pub fn partitioned(volume: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 63 * 512];
    out[450] = 1;
    out[454..458].copy_from_slice(&63_u32.to_le_bytes());
    out[458..462].copy_from_slice(&(volume.len() as u32 / 512).to_le_bytes());
    out[510..512].copy_from_slice(b"\x55\xaa");
    [out, volume.to_vec()].concat()
}

fn footer(kind: u8, size: u64) -> Vec<u8> {
    let mut out = vec![0; 512];
    out[..8].copy_from_slice(b"conectix");
    out[16..24].copy_from_slice(&512_u64.to_be_bytes());
    out[48..56].copy_from_slice(&size.to_be_bytes());
    out[63] = kind;
    out
}

/// A fixed VHD.
pub fn fixed_vhd(disk: &[u8]) -> Vec<u8> {
    [disk, &footer(2, disk.len() as u64)].concat()
}

/// A dynamic VHD of blocks of 64 KiB, the last one first, that claims `size` octets.
pub fn dynamic_vhd(disk: &[u8], size: u64) -> Vec<u8> {
    const BLOCK: usize = 65536;
    let count = disk.len().div_ceil(BLOCK);
    let mut header = vec![0; 1024];
    header[..8].copy_from_slice(b"cxsparse");
    header[16..24].copy_from_slice(&1536_u64.to_be_bytes());
    header[28..32].copy_from_slice(&u32::MAX.to_be_bytes());
    header[32..36].copy_from_slice(&(BLOCK as u32).to_be_bytes());
    let table = (count * 4).next_multiple_of(512);
    let mut entries = vec![0xff; table];
    let mut blocks = Vec::new();
    for (place, number) in (0..count).rev().enumerate() {
        let sector = (1536 + table + place * (BLOCK + 512)) / 512;
        entries[number * 4..][..4].copy_from_slice(&(sector as u32).to_be_bytes());
        blocks.extend([0xff; 512]);
        let piece = &disk[number * BLOCK..disk.len().min(number * BLOCK + BLOCK)];
        blocks.extend(piece);
        blocks.resize(blocks.len().next_multiple_of(512), 0);
        blocks.resize((place + 1) * (BLOCK + 512), 0);
    }
    [footer(3, size), header, entries, blocks, footer(3, size)].concat()
}
