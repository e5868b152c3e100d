//! 7z archives (7zFormat.txt of the LZMA SDK), also behind a program that unpacks itself, by the `sevenz-rust2` crate.
//!
//! Members are packed together in blocks, each of which is decoded once. A password counts once the checksum of a
//! member is right; where names are encrypted, too, once the checksum of the header is. What the crate cannot unpack
//! (Deflate, Brotli, Zstandard, LZ4 and filters of its own invention) is named. Split archives are not joined.

use std::io::{self, Cursor, Read};

use bytes::Bytes;
use memchr::memmem;
use sevenz_rust2::{Archive, ArchiveEntry, BlockDecoder, EncoderMethod, Error, Password};

use crate::filetype::FileType;
use crate::finding;
use crate::formats::Format;
use crate::formats::container::{self, Content, Outcome, bounded};
use crate::lure;
use crate::part::{Name, Part};
use crate::scan::Scan;

/// 7z archives.
pub const FORMAT: Format = Format { name: "7z", walled: true, accepts, examine };

/// With the version that there is, so that a program that only looks for archives has none.
const SIGNATURE: &[u8] = b"7z\xbc\xaf\x27\x1c\0";
/// How a program begins.
const PROGRAM: &[u8] = b"MZ";
/// KiB that a decoder may take for its dictionary or model. 7-Zip takes 64 MiB for its strongest level of ten years, and
/// no more than the content has.
const MAX_MEMORY: usize = 160 << 10;
/// KiB that a header may take, and the dictionary it is packed with; and if that is not enough, once more. Each octet of
/// a header may stand for a member, which takes a hundred and seventy; 7-Zip's dictionary is 1 MiB here, that of others
/// 16 MiB.
const MAX_HEADER: [usize; 2] = [2 << 10, 24 << 10];
/// Octets of a program that are searched for an archive: unpackers have some hundred thousand.
const MAX_STUB: usize = 4 << 20;
/// Rounds of hashing for a key, as a power of two, that 7-Zip writes.
const USUAL_POWER: u8 = 19;
/// Words that only may be a password and are tried: each try takes a tenth of a second.
const MAX_GUESSES: usize = 4;

fn accepts(part: &Part) -> bool {
    part.types.has(FileType::SevenZip) || part.types.has(FileType::Pe)
}

fn examine(part: &Part, scan: &mut Scan) {
    let Some(bytes) = archive_in(&part.bytes) else { return };
    let mut keys = Keys::default();
    let Some(archive) = open(part, &bytes, &mut keys, scan) else { return };
    let mut sevenz = SevenZip { part, archive: &archive, bytes: &bytes, keys, locked: Vec::new() };
    sevenz.listen(scan);
    sevenz.extract(scan);
    let SevenZip { locked, .. } = sevenz;
    container::locked(part, &locked, scan);
}

/// The octets from the archive's signature on.
fn archive_in(bytes: &Bytes) -> Option<Bytes> {
    if !bytes.starts_with(PROGRAM) {
        return Some(bytes.clone());
    }
    let at = memmem::find(bytes.get(..MAX_STUB).unwrap_or(bytes), SIGNATURE)?;
    Some(bytes.slice(at..))
}

/// The header, which may be encrypted.
fn open(part: &Part, bytes: &Bytes, keys: &mut Keys, scan: &mut Scan) -> Option<Archive> {
    match read(bytes, &Password::empty()) {
        Ok(archive) => return Some(archive),
        Err(Error::PasswordRequired) => {}
        Err(error) => {
            tell(part, "", &error, scan);
            return None;
        }
    }
    let rounds = rounds(power_of_header(bytes));
    for text in candidates(scan) {
        if scan.stopped() || !scan.derive(rounds) {
            scan.cut_passwords();
            break;
        }
        let password = Password::new(&text);
        match read(bytes, &password) {
            Ok(archive) if !archive.files.is_empty() => {
                keys.fits = Some(password);
                return Some(archive);
            }
            _ => {}
        }
    }
    container::locked_with_names(part, scan);
    None
}

fn read(bytes: &Bytes, password: &Password) -> Result<Archive, Error> {
    let [little, more] = MAX_HEADER;
    match Archive::read_with_memory_limit(&mut Cursor::new(bytes), password, little) {
        Err(Error::MaxMemLimited { .. }) => Archive::read_with_memory_limit(&mut Cursor::new(bytes), password, more),
        read => read,
    }
}

/// What is told, and a few words that may be a password.
fn candidates(scan: &mut Scan) -> Vec<String> {
    if scan.guesses().len() > MAX_GUESSES {
        scan.cut_passwords();
    }
    scan.passwords().iter().chain(scan.guesses().iter().take(MAX_GUESSES)).cloned().collect()
}

/// The power of an encrypted header: it stands behind the id of the cipher, and the size of its properties, at the end of
/// the archive.
fn power_of_header(bytes: &[u8]) -> u8 {
    let power = || {
        let offset: [u8; 8] = bytes.get(12..20)?.try_into().ok()?;
        let header = bytes.get(usize::try_from(u64::from_le_bytes(offset).checked_add(32)?).ok()?..)?;
        let at = memmem::find(header, EncoderMethod::ID_AES256_SHA256)?;
        header.get(at.checked_add(EncoderMethod::ID_AES256_SHA256.len())?.checked_add(1)?).map(|first| first & 0x3f)
    };
    power().unwrap_or(USUAL_POWER)
}

fn rounds(power: u8) -> u64 {
    // 63 means that there is no hashing; what is above 24 the crate refuses.
    if power == 0x3f { 1 } else { 1_u64.checked_shl(power.into()).unwrap_or(u64::MAX) }
}

/// The passwords of one archive.
#[derive(Default)]
struct Keys {
    /// The one that opened something before.
    fits: Option<Password>,
}

struct SevenZip<'a> {
    part: &'a Part,
    archive: &'a Archive,
    bytes: &'a Bytes,
    keys: Keys,
    /// Names of what stays closed.
    locked: Vec<Vec<Name>>,
}

/// What came of decoding a block.
enum Decoded {
    /// Everything in it was given.
    Whole,
    /// A limit forbids more.
    Full,
    /// The first member is wrong: damage, or the wrong password.
    Wrong(Error),
    /// Some of it was given, and then something was wrong.
    Broken(Error),
}

impl SevenZip<'_> {
    /// Names tell passwords, too.
    fn listen(&self, scan: &mut Scan) {
        for file in &self.archive.files {
            lure::file(scan, self.part, &names(file), &Bytes::new());
        }
    }

    fn extract(&mut self, scan: &mut Scan) {
        let most = usize::try_from(scan.limits().max_files).unwrap_or(usize::MAX);
        for block in 0..self.archive.blocks.len() {
            if scan.stopped() || self.locked.len() > most || !self.block(block, scan) {
                return;
            }
        }
        // What has no content stands in no block.
        let in_block = |index: usize| self.archive.stream_map.file_block_index.get(index).is_some_and(Option::is_some);
        let files = self.archive.files.iter().enumerate();
        for (_, file) in files.filter(|(index, file)| !file.has_stream && !file.is_directory && !in_block(*index)) {
            if self.give(file, Content::Whole(Bytes::new()), false, scan) == Outcome::Full {
                return;
            }
        }
    }

    /// `false` if a limit forbids more.
    fn block(&mut self, block: usize, scan: &mut Scan) -> bool {
        let power = self.power(block);
        let decoded = match power {
            None => self.decode(block, &Password::empty(), scan),
            Some(power) => match self.unlock(block, rounds(power), scan) {
                Some(decoded) => decoded,
                None => {
                    let names = self.entries(block).map(|file| names(file).to_vec());
                    self.locked.extend(names.collect::<Vec<_>>());
                    return true;
                }
            },
        };
        match decoded {
            Decoded::Whole => true,
            Decoded::Full => false,
            Decoded::Wrong(error) | Decoded::Broken(error) => {
                let name = self.entries(block).next().map(|file| file.name.clone()).unwrap_or_default();
                tell(self.part, &name, &error, scan);
                true
            }
        }
    }

    /// Tries the passwords on an encrypted block; `None` if none fits.
    fn unlock(&mut self, block: usize, rounds: u64, scan: &mut Scan) -> Option<Decoded> {
        if let Some(password) = self.keys.fits.clone() {
            match self.decode(block, &password, scan) {
                Decoded::Wrong(_) => {}
                decoded => return Some(decoded),
            }
        }
        for text in candidates(scan) {
            if scan.stopped() || !scan.derive(rounds) {
                scan.cut_passwords();
                return None;
            }
            let password = Password::new(&text);
            match self.decode(block, &password, scan) {
                // Another one may fit, but none makes a method known.
                Decoded::Wrong(error @ (Error::UnsupportedCompressionMethod(_) | Error::MaxMemLimited { .. })) => {
                    return Some(Decoded::Wrong(error));
                }
                Decoded::Wrong(_) => {}
                decoded => {
                    self.keys.fits = Some(password);
                    return Some(decoded);
                }
            }
        }
        None
    }

    /// Decodes a block and gives its members, as long as the first of them is as its checksum says.
    fn decode(&self, block: usize, password: &Password, scan: &mut Scan) -> Decoded {
        let mut source = Cursor::new(self.bytes);
        let decoder = BlockDecoder::new_with_memory_limit(1, MAX_MEMORY, block, self.archive, password, &mut source);
        let is_encrypted = !password.is_empty();
        let (mut given, mut is_full) = (0_usize, false);
        let mut each = |file: &ArchiveEntry, content: &mut dyn Read| {
            if scan.stopped() {
                is_full = true;
                return Ok(false);
            }
            if file.is_directory {
                return Ok(true);
            }
            let content = bounded(content, file.size, scan.room());
            let is_first = given == 0 && file.has_stream;
            let is_proven = file.has_crc && matches!(content, Content::Whole(_));
            if is_first && (matches!(content, Content::Damaged(_)) || is_encrypted && !is_proven) {
                scan.spend(content.size());
                return Err(Error::Io(io::ErrorKind::InvalidData.into(), "".into()));
            }
            let is_cut = matches!(content, Content::Head(_));
            given = given.saturating_add(1);
            // What is not read to its end would be decoded to its end all the same.
            is_full = self.give(file, content, is_encrypted, scan) == Outcome::Full || is_cut;
            Ok(!is_full)
        };
        match decoder.for_each_entries(&mut each) {
            Ok(_) if is_full => Decoded::Full,
            Ok(_) => Decoded::Whole,
            Err(error) if given == 0 => Decoded::Wrong(error),
            Err(error) => Decoded::Broken(error),
        }
    }

    fn give(&self, file: &ArchiveEntry, content: Content, opened_by_password: bool, scan: &mut Scan) -> Outcome {
        let names = names(file);
        let member = container::Member { names: &names, packed: None, is_empty: file.size == 0 };
        container::give(self.part, member, content, opened_by_password, scan)
    }

    /// Members of a block that have content.
    fn entries(&self, block: usize) -> impl Iterator<Item = &ArchiveEntry> {
        let map = &self.archive.stream_map;
        let first = map.block_first_file_index.get(block).copied().unwrap_or(usize::MAX);
        let files = self.archive.files.iter().zip(&map.file_block_index).skip(first);
        let within = files.take_while(move |(_, of)| of.is_none_or(|of| of == block));
        within.filter(|(file, _)| file.has_stream).map(|(file, _)| file)
    }

    /// The power of a block's cipher, if it has one.
    fn power(&self, block: usize) -> Option<u8> {
        let coders = &self.archive.blocks.get(block)?.coders;
        let cipher = coders.iter().find(|coder| coder.encoder_method_id() == EncoderMethod::ID_AES256_SHA256)?;
        Some(cipher.properties().first().map_or(0, |first| first & 0x3f))
    }
}

fn names(file: &ArchiveEntry) -> [Name; 1] {
    [Name::plain(file.name.as_str())]
}

/// Says why something cannot be read.
fn tell(part: &Part, name: &str, error: &Error, scan: &mut Scan) {
    match error {
        Error::UnsupportedCompressionMethod(method) => {
            container::missing(part, name, &Content::Unsupported(method.clone()), scan);
        }
        Error::MaxMemLimited { actaul_kb, .. } => {
            let needs = format!("needs {} MiB of memory to unpack", actaul_kb.div_ceil(1024));
            container::missing(part, name, &Content::Unsupported(needs), scan);
        }
        Error::Unsupported(_) | Error::ExternalUnsupported | Error::UnsupportedVersion { .. } => {
            container::missing(part, name, &Content::Unsupported(error.to_string()), scan);
        }
        _ if name.is_empty() => scan.finding(finding::DAMAGED, part, "", "the header cannot be read"),
        _ => scan.finding(finding::DAMAGED, part, name, name),
    }
}
