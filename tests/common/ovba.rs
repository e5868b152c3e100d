//! The writing side of [MS-OVBA]: the compressor, and the streams of a project.

/// Octets of a chunk before compression ([MS-OVBA] 2.4.1.1.3).
const CHUNK: usize = 4096;

/// Compresses `bytes` into a container ([MS-OVBA] 2.4.1.3.6).
pub fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut container = vec![0x01];
    for chunk in bytes.chunks(CHUNK) {
        container.extend(compress_chunk(chunk));
    }
    container
}

fn compress_chunk(chunk: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    let mut at = 0;
    while at < chunk.len() {
        let flags_at = data.len();
        data.push(0);
        for bit in 0..8 {
            if at >= chunk.len() {
                break;
            }
            let offset_bits = (at.max(16).next_power_of_two().trailing_zeros()).min(12);
            let length_bits = 16 - offset_bits;
            let longest = ((1 << length_bits) - 1 + 3).min(chunk.len() - at);
            match best_match(chunk, at, longest) {
                Some((offset, length)) => {
                    let token = (((offset - 1) << length_bits) | (length - 3)) as u16;
                    data[flags_at] |= 1 << bit;
                    data.extend(token.to_le_bytes());
                    at += length;
                }
                None => {
                    data.push(chunk[at]);
                    at += 1;
                }
            }
        }
    }
    let (mut out, is_compressed) = (Vec::new(), data.len() <= CHUNK);
    if !is_compressed {
        // [MS-OVBA] 2.4.1.3.10: a raw chunk is filled up with zeros.
        data = chunk.to_vec();
        data.resize(CHUNK, 0);
    }
    let header = (data.len() as u16 - 1) | 0x3000 | if is_compressed { 0x8000 } else { 0 };
    out.extend(header.to_le_bytes());
    out.extend(data);
    out
}

/// The longest run before `at` that repeats at `at`, as offset and length; at least three octets.
fn best_match(chunk: &[u8], at: usize, longest: usize) -> Option<(usize, usize)> {
    let length_at = |from: usize| (0..longest).take_while(|i| chunk[from + i] == chunk[at + i]).count();
    (0..at)
        .rev()
        .map(|from| (at - from, length_at(from)))
        .filter(|(_, length)| *length >= 3)
        .max_by_key(|(_, length)| *length)
}

/// What kind of module it is; tells its attributes and its line in the PROJECT stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModuleKind {
    /// A plain module.
    Standard,
    /// `ThisDocument`, `ThisWorkbook`, a sheet: the module behind a document object.
    Document,
    /// A class module.
    Class,
    /// The module behind a form.
    Form,
}

/// The source as it is stored: attributes, then the text, lines ending in CRLF.
pub fn stored_source(name: &str, source: &str, kind: ModuleKind) -> String {
    let mut text = format!("Attribute VB_Name = \"{name}\"\r\n");
    if kind != ModuleKind::Standard {
        let base = match kind {
            ModuleKind::Document => "0{00020906-0000-0000-C000-000000000046}",
            ModuleKind::Class => "0{FCFB3D2A-A0FA-1068-A738-08002B3371B5}",
            _ => "0{00000000-0000-0000-0000-000000000000}{00000000-0000-0000-0000-000000000000}",
        };
        text += &format!("Attribute VB_Base = \"{base}\"\r\n");
        let document = if kind == ModuleKind::Document { "True" } else { "False" };
        for (attribute, value) in
            [("GlobalNameSpace", "False"), ("Creatable", "False"), ("PredeclaredId", document), ("Exposed", document)]
        {
            text += &format!("Attribute VB_{attribute} = {value}\r\n");
        }
    }
    text + &source.lines().map(|line| format!("{line}\r\n")).collect::<String>()
}

/// The `dir` stream before compression ([MS-OVBA] 2.3.4.2). Names are given in the code page;
/// `offset` is the length of what stands in front of the source in each module's stream.
pub fn dir(code_page: u16, modules: &[(Vec<u8>, &str, ModuleKind)], offset: u32) -> Vec<u8> {
    let mut out = Vec::new();
    record(&mut out, 0x0001, &3_u32.to_le_bytes()); // PROJECTSYSKIND: 64 bit Windows
    record(&mut out, 0x0002, &0x0409_u32.to_le_bytes());
    record(&mut out, 0x0014, &0x0409_u32.to_le_bytes());
    record(&mut out, 0x0003, &code_page.to_le_bytes());
    record(&mut out, 0x0004, b"VBAProject");
    record(&mut out, 0x0005, b"");
    record(&mut out, 0x0040, b"");
    record(&mut out, 0x0006, b"");
    record(&mut out, 0x003D, b"");
    record(&mut out, 0x0007, &0_u32.to_le_bytes());
    record(&mut out, 0x0008, &0_u32.to_le_bytes());
    out.extend(0x0009_u16.to_le_bytes()); // PROJECTVERSION, whose length leaves out the minor version
    out.extend(4_u32.to_le_bytes());
    out.extend(1_655_000_000_u32.to_le_bytes());
    out.extend(5_u16.to_le_bytes());
    record(&mut out, 0x000C, b"");
    record(&mut out, 0x003C, b"");
    let library = b"*\\G{00020430-0000-0000-C000-000000000046}#2.0#0#C:\\Windows\\System32\\stdole2.tlb#OLE Automation";
    record(&mut out, 0x0016, b"stdole");
    record(&mut out, 0x003E, &utf16("stdole"));
    let mut reference = (library.len() as u32).to_le_bytes().to_vec();
    reference.extend(library);
    reference.extend([0; 6]);
    record(&mut out, 0x000D, &reference);
    record(&mut out, 0x000F, &(modules.len() as u16).to_le_bytes());
    record(&mut out, 0x0013, &0xFFFF_u16.to_le_bytes());
    for (narrow, name, kind) in modules {
        record(&mut out, 0x0019, narrow);
        record(&mut out, 0x0047, &utf16(name));
        record(&mut out, 0x001A, narrow);
        record(&mut out, 0x0032, &utf16(name));
        record(&mut out, 0x001C, b"");
        record(&mut out, 0x0048, b"");
        record(&mut out, 0x0031, &offset.to_le_bytes());
        record(&mut out, 0x001E, &0_u32.to_le_bytes());
        record(&mut out, 0x002C, &0xFFFF_u16.to_le_bytes());
        record(&mut out, if *kind == ModuleKind::Standard { 0x0021 } else { 0x0022 }, b"");
        record(&mut out, 0x002B, b"");
    }
    record(&mut out, 0x0010, b"");
    out
}

/// The PROJECT stream ([MS-OVBA] 2.3.1), without protection.
pub fn project_stream(modules: &[(&str, ModuleKind)]) -> String {
    let mut text = "ID=\"{00000000-0000-0000-0000-000000000000}\"\r\n".to_owned();
    for (name, kind) in modules {
        text += &match kind {
            ModuleKind::Standard => format!("Module={name}\r\n"),
            ModuleKind::Document => format!("Document={name}/&H00000000\r\n"),
            ModuleKind::Class => format!("Class={name}\r\n"),
            ModuleKind::Form => format!("BaseClass={name}\r\n"),
        };
    }
    text + "Name=\"VBAProject\"\r\nHelpContextID=\"0\"\r\nVersionCompatible32=\"393222000\"\r\n\r\n[Host Extender Info]\r\n"
}

fn record(out: &mut Vec<u8>, id: u16, data: &[u8]) {
    out.extend(id.to_le_bytes());
    out.extend((data.len() as u32).to_le_bytes());
    out.extend(data);
}

/// Little-endian UTF-16.
pub fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}
