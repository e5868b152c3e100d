//! What scanning costs as documents grow: by their code, and by what lies beside it.

use std::time::Instant;

use sekisho::knowledge::Knowledge;
use sekisho::limits::Limits;
use sekisho::scan::{Input, Stop, scan};
use sekisho::verdict::judge;

use crate::common::office::{Compound, ModuleKind};
use crate::common::ovba::{compress, dir, project_stream, stored_source};

const SIZES: [usize; 5] = [10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];
/// Octets of source in a module; the editor takes little more.
const MODULE: usize = 1 << 20;
/// Octets of a chunk of source ([MS-OVBA] 2.4.1.1.4).
const CHUNK: usize = 4096;

pub fn run() {
    println!("\ngrowth: a document with a macro, scanned on one thread; the best of a few");
    println!(
        "{:<10} {:>12} {:>10} {:>12} {:>10} {:>9}   {:<9}",
        "what grows", "octets", "ms", "ns an octet", "verdict", "complete", ""
    );
    for (what, document) in [("code", code as fn(usize) -> Vec<u8>), ("padding", padding)] {
        for size in SIZES {
            let bytes = bytes::Bytes::from(document(size));
            let (mut best, mut verdict, mut is_complete) = (f64::MAX, "", true);
            for _ in 0..if size > 1_000_000 { 2 } else { 5 } {
                let input = Input::file(bytes.clone(), "growing.bin");
                let start = Instant::now();
                let report = scan(input, &Limits::default(), &Knowledge::default(), &Stop::default());
                let judged = judge(&report);
                best = best.min(start.elapsed().as_secs_f64());
                (verdict, is_complete) = (judged.level.name(), judged.complete);
            }
            println!(
                "{what:<10} {:>12} {:>10.2} {:>12.1} {verdict:>10} {is_complete:>9}",
                bytes.len(),
                best * 1e3,
                best * 1e9 / bytes.len() as f64
            );
        }
    }
}

/// A project of so many octets: procedures that call each other.
fn code(size: usize) -> Vec<u8> {
    let mut modules = vec![String::new()];
    let (mut written, mut number) = (0, 0);
    while written + 5000 < size {
        let procedure = format!(
            "Function Step{number}(ByVal text As String) As String\r\n    Dim cell As Range\r\n    \
             For Each cell In Worksheets(\"Sheet1\").Range(\"A1:A{number}\")\r\n        \
             If cell.Value <> \"\" Then text = text & \", \" & Trim(cell.Value)\r\n    Next cell\r\n    \
             Step{number} = Step{}(\"item {}\") & text\r\nEnd Function\r\n",
            number + 1,
            number % 7
        );
        if modules.last().is_some_and(|last| last.len() + procedure.len() > MODULE) {
            modules.push(String::new());
        }
        written += procedure.len();
        number += 1;
        modules.last_mut().expect("a module").push_str(&procedure);
    }
    project(&modules).finish()
}

/// A project of one procedure, and octets beside it that say nothing.
fn padding(size: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(1);
    let noise: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(size.saturating_sub(5000)).collect();
    let macros = "Sub AutoOpen()\r\n    Shell \"cmd /c calc.exe\"\r\nEnd Sub\r\n".to_owned();
    project(&[macros]).stream("/Data", &noise).finish()
}

fn project(sources: &[String]) -> Compound {
    let names: Vec<String> = (0..sources.len()).map(|number| format!("Module{number}")).collect();
    let kind = ModuleKind::Standard;
    let shown: Vec<(&str, ModuleKind)> = names.iter().map(|name| (name.as_str(), kind)).collect();
    let listed: Vec<_> = names.iter().map(|name| (name.clone().into_bytes(), name.as_str(), kind)).collect();
    let mut file = Compound::new()
        .stream("/PROJECT", project_stream(&shown).as_bytes())
        .stream("/VBA/dir", &compress(&dir(1252, &listed, 0)))
        .stream("/VBA/_VBA_PROJECT", b"\xCC\x61\xFF\xFF\x00\x00\x00");
    for (name, source) in names.iter().zip(sources) {
        file = file.stream(&format!("/VBA/{name}"), &stored(&stored_source(name, source, kind)));
    }
    file
}

/// Source in chunks that are not compressed ([MS-OVBA] 2.4.1.1.5), so that octets of the file are octets of code.
fn stored(source: &str) -> Vec<u8> {
    let mut container = vec![0x01];
    for chunk in source.as_bytes().chunks(CHUNK) {
        container.extend(0x3FFF_u16.to_le_bytes());
        container.extend(chunk);
        container.extend(std::iter::repeat_n(b' ', CHUNK - chunk.len()));
    }
    container
}
