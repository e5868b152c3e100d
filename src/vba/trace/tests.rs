//! Walking, and repeating instead of walking: [`compare_with_thorough`] watches over all unit tests.

use super::*;
use crate::finding;
use crate::knowledge::Knowledge;
use crate::limits::Limits;
use crate::scan::{Input, scan};
use crate::vba::code;
use crate::vba::token::{self, Source};

/// Walks once more through everything that was repeated, in every round: the result must be the same.
pub(super) fn compare_with_thorough(
    trace: &Trace,
    program: &Program<'_, '_>,
    matters: &dyn Fn(&str) -> bool,
    stop: &Stop,
) {
    let mut walk = Walk::new(program, matters, stop);
    walk.is_thorough = true;
    let thorough = walk.trace();
    assert!(trace.walks <= thorough.walks);
    assert_eq!(trace, &Trace { walks: trace.walks, ..thorough });
}

/// The trace of a project whose modules have these sources.
fn trace_of(modules: &[String]) -> Trace {
    let sources: Vec<Source<'_>> = modules.iter().map(|source| Source::new(source)).collect();
    let tokens: Vec<Vec<Token<'_>>> = sources.iter().map(token::tokens).collect();
    let codes = tokens.iter().enumerate().map(|(number, tokens)| (format!("module{number}"), code::parse(tokens)));
    trace(&Program::new(codes.collect()), &|name| name == "shell", &Stop::default())
}

/// What is given to `Shell` in these modules, and how many walks it takes to know.
fn check(modules: &[&str], expected: &[&str], walks: usize) {
    let modules: Vec<String> = modules.iter().map(|source| source.replace(": ", "\n")).collect();
    let trace = trace_of(&modules);
    let shown: Vec<String> = trace.calls.iter().map(|call| call.arguments[0].shown()).collect();
    assert_eq!((shown, trace.walks), (expected.iter().map(|&text| text.to_owned()).collect(), walks), "{modules:?}");
}

#[test]
fn a_large_project_is_walked_once() {
    const PROCEDURES: usize = 5000;
    let procedure = |number: usize| {
        format!(
            "Function P{number}(x)\nDim s As String\ns = \"a\" & Sheets(1).Range(\"A{number}\").Value\nTotal = s\n\
             P{} s\nP{} Total\nShell s\nEnd Function\n",
            (number + 1) % PROCEDURES,
            number * 7 % PROCEDURES,
        )
    };
    let modules: Vec<String> = (0..PROCEDURES / 50)
        .map(|module| {
            let procedures: String = (module * 50..(module + 1) * 50).map(procedure).collect();
            format!("Private Total As String\nPublic Const C{module} = {module}\n{procedures}")
        })
        .collect();
    let trace = trace_of(&modules);
    assert_eq!((trace.calls.len(), trace.is_cut), (PROCEDURES, false));
    // `Total` is not known when the first procedure reads it, and is after that: that one has something to learn.
    assert_eq!(trace.walks, PROCEDURES + modules.len() + 1);
}

#[test]
fn only_who_can_learn_something_is_walked_again() {
    // A module each, and its procedures; then those that learn, once for each thing they learn.
    check(&["Sub A(): Shell \"x\": End Sub: Sub B(): Shell \"y\": End Sub"], &["x", "y"], 3);
    check(&["Sub A(x): Shell x: End Sub: Sub B(): A \"y\": End Sub"], &["y"], 4);
    check(&["Sub B(): A \"y\": End Sub: Sub A(x): Shell x: End Sub"], &["y"], 4);
    check(&["Sub A(): Shell F(): End Sub: Function F(): F = \"y\": End Function: Sub B(): End Sub"], &["y"], 5);
    check(&["Function F(): F = \"y\": End Function: Sub A(): Shell F(): End Sub: Sub B(): End Sub"], &["y"], 4);
}

#[test]
fn a_constant_travels_through_procedures() {
    let chain = "Sub C(x): Shell x: End Sub: Sub B(x): C x & \"2\": End Sub: Sub A(x): B x & \"1\": End Sub: Sub M(): A \"0\": End Sub";
    check(&[chain], &["012"], 1 + 4 + 3);
    let functions = "Sub M(): Shell A(): End Sub: Function A(): A = B() & \"1\": End Function: \
                     Function B(): B = C() & \"2\": End Function: Function C(): C = \"3\": End Function";
    check(&[functions], &["321"], 1 + 4 + 3 + 2 + 1);
}

#[test]
fn a_global_travels_between_modules() {
    let (set, used) = ("Public G: Sub S(): G = \"x\": End Sub", "Sub U(): Shell G: End Sub");
    check(&[set, used], &["x"], 4);
    check(&[used, set], &["x"], 5);
    check(&["Const A = B & \"1\": Sub U(): Shell A: End Sub", "Public Const B = \"0\""], &["01"], 3 + 2);
    // What is not known does not replace what is; what takes turns is no news in the next round.
    check(&[set, used, "Sub T(): G = Range(1): End Sub"], &["x"], 6);
    let turns =
        "Public G: Sub A(): G = \"x\": End Sub: Sub B(): Shell G: G = \"y\": End Sub: Sub C(): Shell G: End Sub";
    check(&[turns], &["x", "y"], 4);
}

#[test]
fn recursion_ends() {
    check(&["Function F(x): F = F(x) & \"x\": Shell F(x): End Function"], &["…xxx"], 5);
    check(
        &["Function F(): F = \"a\" & G(): End Function: Function G(): G = \"b\" & F(): Shell G: End Function"],
        &["babababa…"],
        9,
    );
    check(&["Sub A(x): Shell x: A \"y\": End Sub: Sub B(): A \"z\": End Sub"], &["y", "z"], 5);
}

/// A project drawn by lot: procedures that call each other with constants, parameters and globals, and loops.
fn drawn(random: &mut fastrand::Rng) -> Vec<String> {
    let (modules, procedures, globals) = (random.usize(1..4), random.usize(1..6), random.usize(1..4));
    let count = modules * procedures;
    let value = |random: &mut fastrand::Rng| match random.u8(0..9) {
        0 | 1 => format!("\"{}\"", random.alphabetic()),
        2 => "x".to_owned(),
        3 => "local".to_owned(),
        4 => format!("P{}(\"{}\")", random.usize(0..count), random.digit(3)),
        5 => format!("P{}(x)", random.usize(0..count)),
        6 => format!("P{}", random.usize(0..count)),
        _ => format!("g{}", random.usize(0..globals)),
    };
    let statement = |random: &mut fastrand::Rng, own: usize| {
        let (one, other) = (value(random), value(random));
        match random.u8(0..9) {
            0 | 1 => format!("g{} = {one} & {other}\n", random.usize(0..globals)),
            2 => format!("g{} = {one}\n", random.usize(0..globals)),
            3 => format!("local = {one} & {other}\n"),
            4 => format!("P{own} = {one}\n"),
            5 => format!("For i = 1 To 3\nlocal = local & {one}\nP{} i\nNext\n", random.usize(0..count)),
            6 => format!("P{} {one}\n", random.usize(0..count)),
            _ => format!("Shell {one} & \" \" & {other}\n"),
        }
    };
    let module = |number: usize| {
        let mut source = String::new();
        for global in (number..globals).step_by(modules) {
            source += &match random.u8(0..3) {
                0 => format!("Public g{global}\n"),
                1 => format!("Public Const g{global} = \"k\"\n"),
                _ => format!("Public Const g{global} = g{} & \"k\"\n", random.usize(0..globals)),
            };
        }
        for own in number * procedures..(number + 1) * procedures {
            let body: String = (0..random.usize(0..5)).map(|_| statement(random, own)).collect();
            source += &format!("Function P{own}(x)\n{body}End Function\n");
        }
        source
    };
    (0..modules).map(module).collect()
}

#[test]
fn repeating_comes_to_the_same_as_walking() {
    let mut random = fastrand::Rng::with_seed(31);
    for _ in 0..3000 {
        trace_of(&drawn(&mut random));
    }
}

#[test]
fn repeating_comes_to_the_same_at_the_limits() {
    // Steps: loops that go on for ever.
    let loops = "Public G\nSub S(x)\nFor i = 1 To 20000\nG = G & \"x\"\nNext\nShell G\nEnd Sub\n";
    let calls: String = (0..30).map(|number| format!("Sub T{number}()\nS \"{number}\"\nEnd Sub\n")).collect();
    trace_of(&[format!("{loops}{calls}")]);
    // Noted calls: more than are kept.
    let line = "Shell \"a\"\n".repeat(1000);
    let many: String = (0..MAX_CALLS / 1000 + 2).map(|number| format!("Sub P{number}(x)\n{line}End Sub\n")).collect();
    assert!(trace_of(&[format!("{many}Sub Z()\nP0 \"a\"\nEnd Sub\n")]).is_cut);
    // Noted octets.
    let long = format!("Const C = \"{}\"\n", "a".repeat(MAX_ARGUMENT));
    let calls = "Shell C\n".repeat(MAX_NOTED / MAX_ARGUMENT / 2 + 10);
    let twice = format!("{long}Sub A()\n{calls}End Sub\nSub B(x)\n{calls}End Sub\nSub D()\nB 1\nEnd Sub\n");
    assert!(trace_of(&[twice]).calls.iter().any(|call| call.arguments[0].size() < MAX_ARGUMENT));
    // Sets of arguments.
    let sets: String = (0..450).map(|number| format!("Shell F(\"{number}\")\n")).collect();
    trace_of(&[format!(
        "Sub A()\n{sets}End Sub\nFunction F(x)\nF = x\nShell x\nEnd Function\nSub B()\nF 3\nEnd Sub\n"
    )]);
}

#[test]
fn repeating_comes_to_the_same_on_the_samples() {
    let samples = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/samples")).expect("the samples");
    let mut macros = 0;
    for sample in samples {
        let bytes = std::fs::read(sample.expect("a sample").path()).expect("its octets");
        let report = scan(Input::message(bytes), &Limits::default(), &Knowledge::default(), &Stop::default());
        let has = |id| report.findings.iter().any(|found| found.id == id);
        assert!(!has(finding::SCAN_FAULT));
        macros += usize::from(has(finding::VBA_MACROS));
    }
    assert!(macros > 5, "{macros}");
}
