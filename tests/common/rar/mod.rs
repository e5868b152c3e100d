//! RAR archives: those that RAR made (`known`), and those that are written here, as RAR 5 (technote of RAR 5.0) and RAR 4
//! write them: stored or packed, encrypted, with names, too, in volumes, with comments and streams of NTFS.

mod five;
mod four;
pub mod known;
pub mod pack;

/// What is written.
#[derive(Clone, Copy, Default)]
pub struct Member<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its content.
    pub content: &'a [u8],
    /// It is no file, but serves one: a comment (`CMT`) or a stream (`STM`).
    pub service: Option<&'a str>,
    /// It is packed already: the octets, the checksum of what they stand for, and its size.
    pub packed: Option<(&'a [u8], u32, usize)>,
}

/// Which format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// RAR 5.
    Five,
    /// RAR 3 and 4.
    Four,
}

/// What proves a member of RAR 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// CRC-32.
    Crc,
    /// BLAKE2sp, as given.
    Blake([u8; 32]),
    /// Nothing at all.
    None,
}

/// How an archive is written.
#[derive(Clone, Copy)]
pub struct Written<'a> {
    /// The format.
    pub version: Version,
    /// Whether members are packed.
    pub packed: bool,
    /// Whether all but the first say that they stand on the one before.
    pub solid: bool,
    /// With which content is encrypted.
    pub password: Option<&'a str>,
    /// The headers, too.
    pub hidden: bool,
    /// Whether there is a check of the password (RAR 5).
    pub check: bool,
    /// What proves content (RAR 5).
    pub proof: Proof,
    /// The version of what is packed (RAR 4).
    pub unpack: u8,
    /// In so many volumes.
    pub volumes: usize,
    /// Octets of the dictionary, as a power of two above 128 KiB (RAR 5).
    pub dictionary: usize,
}

/// RAR 5, packed.
pub const FIVE: Written<'_> = Written {
    version: Version::Five,
    packed: true,
    solid: false,
    password: None,
    hidden: false,
    check: true,
    proof: Proof::Crc,
    unpack: 29,
    volumes: 1,
    dictionary: 0,
};

/// RAR 4, packed.
pub const FOUR: Written<'_> = Written { version: Version::Four, ..FIVE };

/// A part of a member in one volume.
struct Piece<'a> {
    member: Member<'a>,
    /// Number of the member.
    number: usize,
    octets: &'a [u8],
    /// Octets unpacked, and their checksum.
    size: usize,
    crc: u32,
    /// It goes on from the volume before, or in the one behind.
    continues: bool,
    is_continued: bool,
}

/// The volumes of an archive.
pub fn write(members: &[Member<'_>], how: &Written<'_>) -> Vec<Vec<u8>> {
    let packed: Vec<(Vec<u8>, u32, usize)> = members.iter().map(|member| packed(member, how)).collect();
    let locked = |octets: &[u8]| match (how.password, how.version) {
        (None, _) => octets.to_vec(),
        (Some(password), Version::Five) => five::lock(password, octets),
        (Some(password), Version::Four) => four::lock(password, octets),
    };
    let locked: Vec<Vec<u8>> = packed.iter().map(|(octets, ..)| locked(octets)).collect();
    let total: usize = locked.iter().map(Vec::len).sum();
    let most = total.div_ceil(how.volumes).next_multiple_of(16).max(16);
    let mut volumes: Vec<Vec<Piece<'_>>> = vec![Vec::new()];
    let mut room = most;
    for (number, ((member, (_, crc, size)), octets)) in members.iter().zip(&packed).zip(&locked).enumerate() {
        let mut rest = octets.as_slice();
        loop {
            let (now, later) = rest.split_at(rest.len().min(room));
            let continues = rest.len() < octets.len();
            let piece = Piece {
                member: *member,
                number,
                octets: now,
                size: *size,
                // The last piece has the checksum of the content, the others that of what they hold.
                crc: if later.is_empty() { *crc } else { crc32(now) },
                continues,
                is_continued: !later.is_empty(),
            };
            volumes.last_mut().unwrap().push(piece);
            rest = later;
            room -= now.len();
            if rest.is_empty() {
                break;
            }
            volumes.push(Vec::new());
            room = most;
        }
    }
    let count = volumes.len();
    let volume = |(number, pieces): (usize, &Vec<Piece<'_>>)| match how.version {
        Version::Five => five::volume(pieces, number, count, how),
        Version::Four => four::volume(pieces, number, count, how),
    };
    volumes.iter().enumerate().map(volume).collect()
}

/// An archive in one file.
pub fn whole(members: &[Member<'_>], how: &Written<'_>) -> Vec<u8> {
    write(members, how).concat()
}

/// An archive of this file.
pub fn of_one(name: &str, content: &[u8], how: &Written<'_>) -> Vec<u8> {
    whole(&[file(name, content)], how)
}

/// The volumes of an archive of this file, with the names that RAR gives them.
pub fn volumes(name: &str, content: &[u8], how: &Written<'_>) -> Vec<(String, Vec<u8>)> {
    let names = |number: usize| match (how.version, number) {
        (Version::Five, _) => format!("a.part{}.rar", number + 1),
        (Version::Four, 0) => "a.rar".to_owned(),
        (Version::Four, _) => format!("a.r{:02}", number - 1),
    };
    write(&[file(name, content)], how).into_iter().enumerate().map(|(number, volume)| (names(number), volume)).collect()
}

/// A file.
pub fn file<'a>(name: &'a str, content: &'a [u8]) -> Member<'a> {
    Member { name, content, ..Member::default() }
}

/// An archive with a comment, which is never encrypted; `is_wide` if it is in UTF-16 (RAR 4).
pub fn whole_with_comment(members: &[Member<'_>], text: &[u8], is_wide: bool, how: &Written<'_>) -> Vec<u8> {
    let service = Some(if is_wide { "wide" } else { "" });
    let comment = Member { name: "CMT", content: text, service, packed: None };
    let open = whole(&[comment], &Written { password: None, ..*how });
    one_behind_the_other(&open, &whole(members, how))
}

/// The members of one archive behind those of another: without the end of the first, and the start of the second.
pub fn one_behind_the_other(first: &[u8], second: &[u8]) -> Vec<u8> {
    let (end, start) = if first.starts_with(five::SIGNATURE) { (8, 8 + 8) } else { (7, 7 + 13) };
    [&first[..first.len() - end], &second[start..]].concat()
}

/// An archive of RAR 4 with a comment in its header, as RAR 2 wrote it.
pub fn with_old_comment(archive: &[u8], text: &[u8]) -> Vec<u8> {
    four::with_old_comment(archive, text)
}

/// The hash of the letter, as the archive `blake5` tells it.
pub fn blake_of_letter() -> [u8; 32] {
    let archive = known::archive("blake5");
    let at = archive.windows(3).position(|three| three == [0x22, 2, 0]).unwrap() + 3;
    archive[at..at + 32].try_into().unwrap()
}

/// A stream of the file before; its name begins with a colon.
pub fn stream<'a>(name: &'a str, content: &'a [u8]) -> Member<'a> {
    Member { name: "STM", content, service: Some(name), packed: None }
}

/// RAR 5 with this file, stored.
pub fn stored5(name: &str, content: &[u8]) -> Vec<u8> {
    of_one(name, content, &Written { packed: false, ..FIVE })
}

/// RAR 4 with this file, stored.
pub fn stored4(name: &str, content: &[u8]) -> Vec<u8> {
    of_one(name, content, &Written { packed: false, ..FOUR })
}

/// An archive of this many zeros.
pub fn zeros(name: &str, size: usize, how: &Written<'_>) -> Vec<u8> {
    let (packed, size) = if how.version == Version::Five { pack::zeros5(size) } else { pack::zeros4(size) };
    whole(&[Member { name, packed: Some((&packed, 0, size)), ..Member::default() }], how)
}

/// The checksum of so many zeros.
pub fn crc_of_zeros(size: usize) -> u32 {
    let piece = vec![0; 1 << 20];
    let mut crc = flate2::Crc::new();
    (0..size >> 20).for_each(|_| crc.update(&piece));
    crc.update(&piece[..size & 0xf_ffff]);
    crc.sum()
}

fn packed(member: &Member<'_>, how: &Written<'_>) -> (Vec<u8>, u32, usize) {
    if let Some((octets, crc, size)) = member.packed {
        return (octets.to_vec(), crc, size);
    }
    let content = member.content;
    let octets = match how.version {
        _ if !how.packed => content.to_vec(),
        Version::Five => pack::five(content),
        Version::Four => pack::four(content),
    };
    (octets, crc32(content), content.len())
}

fn crc32(octets: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(octets);
    crc.sum()
}
