//! 7z archives, by the writer of the crate that reads them.

use sevenz_rust2::encoder_options::{AesEncoderOptions, Lzma2Options};
use sevenz_rust2::{ArchiveEntry, ArchiveWriter, EncoderConfiguration, EncoderMethod, Password};

/// How an archive is written.
pub struct Written<'a> {
    /// What packs the content.
    pub method: EncoderMethod,
    /// With which content is encrypted.
    pub password: Option<&'a str>,
    /// The header, too.
    pub encrypt_names: bool,
    /// All in one block.
    pub solid: bool,
}

/// As 7-Zip does it for one file.
pub const PLAIN: Written<'_> =
    Written { method: EncoderMethod::LZMA2, password: None, encrypt_names: false, solid: false };

/// An archive of these files.
pub fn write(files: &[(&str, &[u8])], how: &Written<'_>) -> Vec<u8> {
    let mut writer = ArchiveWriter::new(std::io::Cursor::new(Vec::new())).unwrap();
    let mut methods: Vec<EncoderConfiguration> = Vec::new();
    if let Some(password) = how.password {
        methods.push(AesEncoderOptions::new(Password::new(password)).into());
    }
    // A small dictionary: the writer's tables take ten times as much.
    let packed = EncoderConfiguration::new(how.method);
    let mut small = Lzma2Options::from_level(1);
    small.set_dictionary_size(1 << 16);
    methods.push(if how.method.id() == EncoderMethod::LZMA2.id() { packed.with_options(small.into()) } else { packed });
    writer.set_content_methods(methods);
    writer.set_encrypt_header(how.encrypt_names);
    if how.solid {
        let entries = files.iter().map(|(name, _)| ArchiveEntry::new_file(name)).collect();
        let contents = files.iter().map(|(_, content)| (*content).into()).collect();
        writer.push_archive_entries::<&[u8]>(entries, contents).unwrap();
    } else {
        for (name, content) in files {
            writer.push_archive_entry(ArchiveEntry::new_file(name), Some(*content)).unwrap();
        }
    }
    writer.finish().unwrap().into_inner()
}

/// Small ones of every kind.
pub fn kinds() -> Vec<Vec<u8>> {
    const FILES: &[(&str, &[u8])] = &[("a.txt", b"the first"), ("b.txt", b"the second"), ("c.txt", b"")];
    let methods = [EncoderMethod::COPY, EncoderMethod::LZMA, EncoderMethod::LZMA2, EncoderMethod::BZIP2];
    let plain = methods.map(|method| write(FILES, &Written { method, solid: true, ..PLAIN }));
    let locked = [false, true]
        .map(|encrypt_names| write(FILES, &Written { password: Some("infected"), encrypt_names, ..PLAIN }));
    plain.into_iter().chain(locked).collect()
}
