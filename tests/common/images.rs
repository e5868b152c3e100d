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

/// A disc of UDF 1.02 alone (ECMA-167), in sectors of 2048: one file in the root.
pub fn udf(name: &str, content: &[u8]) -> Vec<u8> {
    const SECTOR: usize = 2048;
    /// Where the partition starts: blocks count from here.
    const START: usize = 260;
    let address =
        |length: usize, block: u32| [&(length as u32).to_le_bytes()[..], &block.to_le_bytes(), &[0; 2]].concat();
    let identifier = |name: &str, flags: u8, block: u32| {
        let units: Vec<u8> = name.encode_utf16().flat_map(u16::to_be_bytes).collect();
        let name = if name.is_empty() { Vec::new() } else { [&[16][..], &units].concat() };
        let mut out = vec![0; 38];
        out[18..20].copy_from_slice(&[flags, name.len() as u8]);
        out[20..30].copy_from_slice(&address(SECTOR, block));
        out.extend(name);
        out.resize(out.len().next_multiple_of(4), 0);
        tagged(out, 257)
    };
    let entry = |kind: u8, size: usize, block: u32| {
        let mut out = vec![0; 176];
        out[27] = kind;
        out[56..64].copy_from_slice(&(size as u64).to_le_bytes());
        out[172..176].copy_from_slice(&8_u32.to_le_bytes());
        out.extend(&address(size, block)[..8]);
        tagged(out, 261)
    };
    let mut set = vec![0; 512];
    set[400..410].copy_from_slice(&address(SECTOR, 1));
    let mut partition = vec![0; 512];
    partition[188..192].copy_from_slice(&(START as u32).to_le_bytes());
    let mut logical = vec![0; 446];
    logical[212..216].copy_from_slice(&(SECTOR as u32).to_le_bytes());
    logical[248..258].copy_from_slice(&address(SECTOR, 0));
    logical[264..272].copy_from_slice(&[6, 0, 0, 0, 1, 0, 0, 0]);
    logical[440..446].copy_from_slice(&[1, 6, 1, 0, 0, 0]);
    let mut anchor = vec![0; 512];
    anchor[16..24].copy_from_slice(&address(3 * SECTOR, 32)[..8]);
    let folder = [identifier("", 8 | 2, 1), identifier(name, 0, 3)].concat();
    let mut out = Vec::new();
    let mut put = |sector: usize, bytes: &[u8]| {
        out.resize(out.len().max((sector * SECTOR + bytes.len()).next_multiple_of(SECTOR)), 0);
        out[sector * SECTOR..][..bytes.len()].copy_from_slice(bytes);
    };
    for (number, magic) in [b"\0BEA01\x01", b"\0NSR02\x01", b"\0TEA01\x01"].into_iter().enumerate() {
        put(16 + number, magic);
    }
    put(32, &tagged(partition, 5));
    put(33, &tagged(logical, 6));
    put(34, &tagged(vec![0; 512], 8));
    put(256, &tagged(anchor, 2));
    put(START, &tagged(set, 256));
    put(START + 1, &entry(4, folder.len(), 2));
    put(START + 2, &folder);
    put(START + 3, &entry(5, content.len(), 4));
    put(START + 4, content);
    out
}

/// Gives a descriptor its number and the sum over its tag (ECMA-167 3/7.2).
fn tagged(mut descriptor: Vec<u8>, number: u16) -> Vec<u8> {
    descriptor[..2].copy_from_slice(&number.to_le_bytes());
    descriptor[2] = 2;
    descriptor[4] = descriptor[..16].iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte));
    descriptor
}

/// A VHDX of blocks of 1 MiB ([MS-VHDX]), the last one first.
pub fn vhdx(disk: &[u8]) -> Vec<u8> {
    const MIB: usize = 1 << 20;
    let guid = |text: &str| {
        let raw = data_encoding::HEXUPPER.decode(text.replace('-', "").as_bytes()).unwrap();
        // The first three fields are little-endian.
        [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15].map(|at: usize| raw[at]).to_vec()
    };
    let count = disk.len().div_ceil(MIB);
    let mut out = vec![0; (3 + count) * MIB];
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"vhdxfile");
    for copy in [192 << 10, 256 << 10] {
        put(copy, b"regi");
        put(copy + 8, &2_u32.to_le_bytes());
        for (number, (id, at)) in
            [("2DC27766-F623-4200-9D64-115E9BFD4A08", 2 * MIB), ("8B7CA206-4790-4B9A-B8FE-575F050F886E", MIB)]
                .into_iter()
                .enumerate()
        {
            let place = [&(at as u64).to_le_bytes()[..], &(MIB as u32).to_le_bytes()].concat();
            put(copy + 16 + number * 32, &[guid(id), place].concat());
        }
    }
    put(MIB, b"metadata");
    put(MIB + 10, &3_u16.to_le_bytes());
    let size = disk.len() as u64;
    let items = [
        ("CAA16737-FA36-4D43-B3B6-33F0AA44E76B", (MIB as u64).to_le_bytes().to_vec()),
        ("2FA54224-CD1B-4876-B211-5DBED83BF4B8", size.to_le_bytes().to_vec()),
        ("8141BF1D-A96F-4709-BA47-F233A8FAAB5F", 512_u32.to_le_bytes().to_vec()),
    ];
    for (number, (id, value)) in items.iter().enumerate() {
        let offset = (64 << 10) + number * 16;
        put(MIB + 32 + number * 32, &[guid(id), (offset as u32).to_le_bytes().to_vec()].concat());
        put(MIB + offset, value);
    }
    for (number, block) in disk.chunks(MIB).enumerate() {
        let place = 3 + count - 1 - number;
        // Fully present (2.5.1.1).
        put(2 * MIB + number * 8, &((place as u64) << 20 | 6).to_le_bytes());
        put(place * MIB, block);
    }
    out
}
