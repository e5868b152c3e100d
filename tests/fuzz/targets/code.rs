//! Targets: VBA projects and their code.

use std::io::{Cursor, Write};

use sekisho::command::program as command;
use sekisho::command::{address, reveal};
use sekisho::formats::cfb::CompoundFile;
use sekisho::scan::{Input, Stop};
use sekisho::vba::compress::{End, decompress};
use sekisho::vba::program::Program;
use sekisho::vba::project::{MAX_SOURCE, projects};
use sekisho::vba::token::{self, Source};
use sekisho::vba::{capability, code, obfuscation, reach, trace};

use super::{examine, records};

/// The streams of a project. The first `DIR` is compressed like all kinds up to `RAW`.
const STREAMS: [&str; 8] = [
    "/VBA/dir",
    "/VBA/Module1",
    "/VBA/ThisDocument",
    "/VBA/_VBA_PROJECT",
    "/PROJECT",
    "/VBA/__SRP_0",
    "/UserForm1/o",
    "/Module1",
];

/// Streams of a project, as records: bit 3 of the kind has the content compressed.
pub fn vba_project(data: &[u8]) {
    if let Some(found) = decompress(data, 100_000) {
        assert!(found.bytes.len() <= 100_000);
        let less = decompress(data, 1000).expect("it was a container");
        assert!(found.bytes.starts_with(&less.bytes) && less.bytes.len() <= 1000);
    }
    let packed = compressed(data);
    let unpacked = decompress(&packed, data.len()).expect("a container");
    assert!(unpacked.bytes == data && (data.is_empty() || unpacked.end == End::Whole), "another content");

    let Ok(mut file) = cfb::CompoundFile::create_with_version(cfb::Version::V3, Cursor::new(Vec::new())) else {
        return;
    };
    for storage in ["/VBA", "/UserForm1"] {
        file.create_storage(storage).expect("an empty file has room");
    }
    for (kind, content) in records(data).into_iter().take(12) {
        let content = if kind & 8 == 0 { content.to_vec() } else { compressed(content) };
        let mut stream = file.create_stream(STREAMS[usize::from(kind & 7)]).expect("the storage is there");
        stream.write_all(&content).expect("memory takes all");
    }
    let file = file.into_inner().into_inner();
    let found = projects(&CompoundFile::open(&file), 1 << 20);
    let all: usize = found.iter().flat_map(|project| &project.modules).map(|module| module.source.len()).sum();
    // A character of a narrow code page has up to three octets in UTF-8.
    assert!(all <= 3 * MAX_SOURCE.min(1 << 20), "more source than was asked for");
    examine(Input::file(file, "vbaProject.bin"));
}

/// A container of chunks without copy tokens.
fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![1];
    for chunk in bytes.chunks(3000) {
        let tokens: Vec<u8> = chunk.chunks(8).flat_map(|eight| [&[0], eight].concat()).collect();
        out.extend((0xB000 | (tokens.len() as u16 - 1)).to_le_bytes());
        out.extend(tokens);
    }
    out
}

/// The source of several modules, one NUL between two.
pub fn vba_code(data: &[u8]) {
    let texts: Vec<String> =
        data.split(|octet| *octet == 0).take(5).map(|text| String::from_utf8_lossy(text).into_owned()).collect();
    let sources: Vec<Source<'_>> = texts.iter().map(|text| Source::new(text)).collect();
    let modules: Vec<Vec<token::Token<'_>>> = sources.iter().map(token::tokens).collect();
    for (tokens, text) in modules.iter().zip(&texts) {
        assert!(tokens.len() <= text.chars().count() + 2, "more tokens than characters");
        assert!(tokens.is_sorted_by_key(|token| token.line), "lines out of order");
    }
    let codes = modules.iter().enumerate().map(|(number, tokens)| (format!("module{number}"), code::parse(tokens)));
    let program = Program::new(codes.collect());
    let found = trace::trace(&program, &capability::matters, &Stop::default());
    for call in &found.calls {
        assert!(call.module < program.modules.len());
        assert!(call.procedure.is_none_or(|procedure| procedure < program.procedures.len()));
    }
    let again = trace::trace(&program, &capability::matters, &Stop::default());
    // Numbers that are none are unequal to themselves.
    assert_eq!(format!("{:?}", found.calls), format!("{:?}", again.calls), "two walks differ");
    let declares = program.modules.iter().flat_map(|(_, code)| code.declares.iter().copied());
    let context = capability::Context::new(declares.map(|declare| (declare.name, declare)).collect(), texts.concat());
    let judged = capability::judge(&found.calls, &context);
    assert!(judged.iter().all(|capability| capability.call.is_none_or(|call| call < found.calls.len())));
    let reaching = reach::reaching(&program, &found.calls, (0..program.procedures.len()).step_by(2).collect());
    assert!(reaching.iter().all(|procedure| *procedure < program.procedures.len()));
    obfuscation::judge(&modules);
    for text in &texts {
        command::interpreter(text);
        command::is_command(text);
        command::is_runnable(text);
        command::is_startup(text);
        assert!(address::urls(text).all(|url| text.contains(url)));
        assert_eq!(reveal(text), reveal(text), "a command comes apart in one way");
    }
}
