//! What `cargo fuzz` runs: the bodies in `targets/`, each behind a program of one line in `bin/`.
//! How to use it stands in `docs/testing.md`.

pub mod targets;

/// The program of one target.
#[macro_export]
macro_rules! program {
    ($target:ident) => {
        libfuzzer_sys::fuzz_target!(init: sekisho_fuzz::let_panics_unwind(), |data: &[u8]| {
            sekisho_fuzz::targets::$target(data)
        });
    };
}

/// libFuzzer's hook ends the program at any panic. The scanner catches those of a format and of mail-parser by
/// design, and the targets look for what it reports then; so panics only leave a line here.
pub fn let_panics_unwind() {
    std::panic::set_hook(Box::new(|panic| {
        let elsewhere = panic.location().is_some_and(|place| place.file().contains("mail-parser"));
        if !elsewhere {
            eprintln!("{panic}");
        }
    }));
}
