//! Compound files and the VBA in them: read whole, read damaged, and judged.

mod common;

use common::office::{Compound, Module, ModuleKind, vba_project};
use common::ovba::compress;
use sekisho::formats::cfb::CompoundFile;
use sekisho::vba::compress::decompress;
use sekisho::vba::project::{self, Project};

const HELLO: Module<'_> = ("Module1", "Sub Hello()\n    MsgBox \"Hello\"\nEnd Sub\n", ModuleKind::Standard);
const DOCUMENT: Module<'_> = ("ThisDocument", "Private Sub Document_Open()\nEnd Sub\n", ModuleKind::Document);

fn projects(bytes: &[u8]) -> Vec<Project> {
    project::projects(&CompoundFile::open(bytes), u64::MAX)
}

#[test]
fn what_was_compressed_comes_back() {
    let mut random = fastrand::Rng::with_seed(7);
    for length in [0, 1, 2, 3, 15, 16, 17, 100, 4095, 4096, 4097, 8192, 20_000] {
        for letters in [1, 2, 20, 256] {
            let bytes: Vec<u8> = (0..length).map(|_| random.u16(0..letters) as u8).collect();
            let back = decompress(&compress(&bytes), usize::MAX).unwrap_or_default().bytes;
            // A raw chunk is filled up with zeros, so its length is not kept.
            let is_filled_up = back.get(bytes.len()..).is_some_and(|rest| rest.iter().all(|byte| *byte == 0));
            assert!(back.starts_with(&bytes) && is_filled_up, "{length} octets of {letters} letters");
        }
    }
}

#[test]
fn modules_are_read_in_order_with_their_source() {
    let read = projects(&vba_project(&[DOCUMENT, HELLO]));
    let [project] = &read[..] else { panic!("{read:?}") };
    assert_eq!(project.path, "VBA");
    let names: Vec<&str> = project.modules.iter().map(|module| module.name.as_str()).collect();
    assert_eq!(names, ["ThisDocument", "Module1"]);
    assert!(project.modules.iter().all(|module| module.is_listed && module.is_whole));
    assert!(project.modules[1].source.contains("MsgBox \"Hello\""));
}

#[test]
fn sectors_of_both_sizes_and_any_depth() {
    for file in [Compound::new(), Compound::version_4()] {
        let bytes = file.project("/ObjectPool/_1/Macros", &[HELLO]).stream("/Big", &vec![7; 200_000]).finish();
        assert_eq!(projects(&bytes)[0].path, "ObjectPool/_1/Macros/VBA");
    }
}
