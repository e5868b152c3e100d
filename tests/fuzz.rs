//! The fuzz targets on a stable compiler: the committed corpora replayed, and the seeds they grew from.
//!
//! `cargo fuzz` grows corpora; that and how to add a target stands in `docs/testing.md`.

mod seeds;
pub mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

/// The inputs in a folder, in the order of their names.
fn inputs(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut paths: Vec<PathBuf> = match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(_) => Vec::new(),
    };
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Runs a target on one input; says which it was if that fails.
fn run(name: &str, input: &[u8], what: &dyn std::fmt::Display) {
    let (_, target) = targets::ALL.iter().find(|(known, _)| *known == name).unwrap();
    let outcome = std::panic::catch_unwind(|| target(input));
    assert!(outcome.is_ok(), "target {name} fails on {what}: the panic stands above");
}

fn replay(name: &str) {
    for (path, input) in inputs(&folder().join("corpus").join(name)) {
        run(name, &input, &path.display());
    }
    for (number, input) in seeds::of(name).iter().enumerate() {
        run(name, input, &format!("seed {number}"));
    }
    for input in [&b""[..], b"\0", b"\n", b"\r\n\r\n", &[0xff; 70]] {
        run(name, input, &format!("{input:?}"));
    }
}

/// One test for each target, so that they run beside each other and a failure names its target.
macro_rules! replays {
    ($($target:ident)*) => {
        $(
            #[test]
            fn $target() {
                replay(stringify!($target));
            }
        )*

        const REPLAYED: &[&str] = &[$(stringify!($target)),*];
    };
}

replays! {
    arj cab cells cfb cms commands compress config encryption entry excel4 file flat header image links lzh markup
    message metafile milter_codec milter_session mime onenote ooxml pdf picture rar rtf sevenz signed_code smtp_next_hop
    smtp_session smtp_wire smuggling strings tar tnef uu vba_code vba_project worker zip
}

#[test]
fn every_target_is_replayed_and_has_its_program() {
    let names: Vec<&str> = targets::ALL.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, REPLAYED);
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    for name in names {
        assert!(folder().join(format!("bin/{name}.rs")).is_file(), "tests/fuzz/bin/{name}.rs is missing");
        assert!(manifest.contains(&format!("path = \"bin/{name}.rs\"")), "{name} is missing in tests/fuzz/Cargo.toml");
    }
}

#[test]
fn the_corpora_are_small_and_belong_to_targets() {
    let known: BTreeSet<&str> = targets::ALL.iter().map(|(name, _)| *name).collect();
    let corpus = folder().join("corpus");
    let mut size = 0;
    for entry in fs::read_dir(&corpus).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(known.contains(name.as_str()), "{} belongs to no target", path.display());
        size += inputs(&path).iter().map(|(_, input)| input.len()).sum::<usize>();
    }
    assert!(size <= 1_500_000, "{size} octets of corpora: keep what reaches something new (docs/testing.md)");
}

/// `SEKISHO_FUZZ_SEEDS=FOLDER` writes what a campaign begins with.
#[test]
fn seeds_can_be_written() {
    let Some(folder) = std::env::var_os("SEKISHO_FUZZ_SEEDS") else { return };
    for (name, _) in targets::ALL {
        let folder = Path::new(&folder).join(name);
        fs::create_dir_all(&folder).unwrap();
        for (number, input) in seeds::of(name).iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), input).unwrap();
        }
    }
}
