//! VBA: the project in its storage ([MS-OVBA]) and what its code can do.
//!
//! [`project`] reads the modules, [`token`], [`code`] and [`program`] take them apart, [`trace`]
//! computes what can be computed and notes the calls, [`capability`] judges each by its arguments,
//! [`indicator`] tells what it would use, [`reach`] what runs by itself and what is reached from
//! there, [`obfuscation`] measures how readable all of it is, [`place`] and [`form`] read what stands
//! outside of the code, [`payload`] and [`compiled`] look beside the source, [`fingerprint`] knows the
//! code again, [`shown`] tells what the editor keeps from people. Nothing is judged by a word alone.

pub mod capability;
pub mod code;
pub mod compiled;
pub mod compress;
pub mod fingerprint;
pub mod fold;
pub mod form;
pub mod indicator;
pub mod obfuscation;
pub mod payload;
pub mod place;
pub mod program;
pub mod project;
pub mod reach;
pub mod shown;
pub mod signature;
pub mod token;
pub mod trace;

use foldhash::HashSet;

use crate::finding::{self, FindingId, Severity};
use crate::formats::cfb::CompoundFile;
use crate::limits::Limit;
use crate::part::Part;
use crate::scan::Scan;
use capability::{Capability, Context};
use program::Program;
use project::{Module, Project};
use reach::Start;
use shown::Protection;
use token::{Kind, Source, Token};
use trace::Call;

/// Octets of the properties in which a signature is looked for.
const MAX_PROPERTIES: u64 = 256 << 10;

/// Reads every VBA project in `file` and reports what its code can do. `text` is the text of the
/// document, in which code may keep something.
pub fn examine(file: &CompoundFile<'_>, text: &str, part: &Part, scan: &mut Scan) {
    let mut has_code = false;
    let mut all = fingerprint::Code::default();
    for project in project::projects(file, scan.room()) {
        if scan.stopped() {
            return;
        }
        if project.is_cut {
            scan.limit(part, Limit::FileSize);
        }
        has_code |= examine_project(file, &project, &mut all, part, scan);
    }
    if !has_code {
        return;
    }
    payload::examine(file, text, part, scan);
    // Documents keep the signature among their properties ([MS-OSHARED] 2.3.3.2.2.1, GKPIDDSI_DIGSIG).
    for name in ["\u{5}DocumentSummaryInformation", "_signatures"] {
        if let Some(stream) = file.stream(None, name) {
            signature::examine(&file.read(stream, MAX_PROPERTIES), name, part, scan);
        }
    }
    // Source that is not all of the code.
    const UNSEEN: [FindingId; 3] = [finding::VBA_NO_SOURCE, finding::DAMAGED, finding::LIMIT_EXCEEDED];
    if !UNSEEN.iter().any(|id| scan.has_found(*id, part))
        && let Some(fingerprint) = all.fingerprint()
    {
        scan.learn_code(part, fingerprint);
    }
}

/// Reports on a project; `false` if it has no code.
fn examine_project(
    file: &CompoundFile<'_>,
    project: &Project,
    all: &mut fingerprint::Code,
    part: &Part,
    scan: &mut Scan,
) -> bool {
    let sources: Vec<Source<'_>> = project.modules.iter().map(|module| Source::new(&module.source)).collect();
    compiled::examine(project, &sources, part, scan);
    let modules: Vec<Vec<Token<'_>>> = sources.iter().map(token::tokens).collect();
    if !modules.iter().any(|tokens| has_code(tokens)) {
        return false;
    }
    scan.finding(finding::VBA_MACROS, part, &project.path, "");
    report_concealed(project, &modules, part, scan);
    let names = project.modules.iter().map(|module| token::lower_case(&module.name));
    let mut program = Program::new(names.zip(modules.iter().map(|tokens| code::parse(tokens))).collect());
    let documents = project.modules.iter().filter(|module| module.is_document());
    let documents: Vec<String> = documents.map(|module| token::lower_case(&module.name)).collect();
    program.places = place::places(file, &documents);
    let context = context(&program, &modules);
    let matters = |name: &str| capability::matters(name) || context.declares.contains_key(name);
    let trace = trace::trace(&program, &matters, scan.stop());
    if trace.is_cut || modules.iter().any(|tokens| tokens.len() > token::MAX_TOKENS) {
        scan.limit(part, Limit::FileSize);
    }
    let calls = trace.calls;
    let found = capability::judge(&calls, &context);
    report_starts(project, &program, &calls, &found, part, scan);
    for capability in &found {
        let location = location(project, capability.call.and_then(|call| calls.get(call)));
        scan.finding(capability.id, part, &location, &capability.evidence);
    }
    indicator::report(&calls, &found, &trace.texts, &|call| location(project, call), part, scan);
    if let Some(reasons) = obfuscation::judge(&modules) {
        scan.finding(finding::VBA_OBFUSCATED, part, &project.path, &reasons);
    }
    let found: Vec<(FindingId, Option<&Call>)> =
        found.iter().map(|capability| (capability.id, capability.call.and_then(|call| calls.get(call)))).collect();
    let is_steered = fingerprint::is_steered(modules.iter().flatten(), &found);
    let named = project.modules.iter().map(|module| module.name.as_str()).zip(modules.iter().map(Vec::as_slice));
    all.add((!is_steered).then(|| fingerprint::of(named)));
    true
}

/// Reports what the editor does not show of a project.
fn report_concealed(project: &Project, modules: &[Vec<Token<'_>>], part: &Part, scan: &mut Scan) {
    match project.protection {
        Protection::Open => {}
        Protection::Locked => scan.finding(finding::VBA_PROJECT_LOCKED, part, &project.path, ""),
        Protection::Hidden(why) => scan.finding(finding::VBA_PROJECT_HIDDEN, part, &project.path, why),
    }
    for (module, tokens) in project.modules.iter().zip(modules) {
        if module.is_hidden && has_code(tokens) {
            scan.finding(finding::VBA_MODULE_HIDDEN, part, &project.path, &module.name);
        }
    }
    for (narrow, wide) in &project.differing {
        scan.finding(finding::VBA_NAMES_DIFFER, part, &project.path, &format!("{narrow}, {wide}"));
    }
}

/// Whether there is more than options.
fn has_code(tokens: &[Token<'_>]) -> bool {
    let mut statements = tokens.split(|token| token.kind == Kind::End).filter(|statement| !statement.is_empty());
    statements.any(|statement| !code::starts_with(statement, "Option"))
}

fn context<'a>(program: &Program<'_, 'a>, modules: &[Vec<Token<'_>>]) -> Context<'a> {
    let declares = program.modules.iter().flat_map(|(_, code)| code.declares.iter().copied());
    let mut literals = String::new();
    for token in modules.iter().flatten() {
        if let Kind::Text(text) = token.kind {
            literals.push_str(text.lower);
            literals.push('\n');
        }
    }
    Context::new(declares.map(|declare| (declare.name, declare)).collect(), literals)
}

/// Reports what starts by itself. A start from which nothing of note is reached is a fact only.
fn report_starts(
    project: &Project,
    program: &Program<'_, '_>,
    calls: &[Call],
    found: &[Capability],
    part: &Part,
    scan: &mut Scan,
) {
    let weighs = |id: FindingId| id.severity >= Severity::Medium;
    let dangerous: HashSet<usize> = found
        .iter()
        .filter(|capability| weighs(capability.id))
        .filter_map(|capability| calls.get(capability.call?)?.procedure)
        .collect();
    // Code outside of procedures runs with any of them.
    let anywhere = found.iter().any(|capability| {
        weighs(capability.id)
            && capability.call.is_none_or(|call| calls.get(call).is_some_and(|call| call.procedure.is_none()))
    });
    let reaching = reach::reaching(program, calls, dangerous);
    let name = |index: &usize| program.procedure(*index).map_or("", |procedure| procedure.name.lower);
    let any_event = reaching.iter().any(|index| reach::is_document_event(name(index)));
    let are_documents: Vec<bool> = project.modules.iter().map(Module::is_document).collect();
    for (index, (number, _)) in program.procedures.iter().enumerate() {
        let (Some(procedure), Some(module)) = (program.procedure(index), project.modules.get(*number)) else {
            continue;
        };
        let (Some((module_name, _)), Some(is_document)) = (program.modules.get(*number), are_documents.get(*number))
        else {
            continue;
        };
        // Word also runs `MAIN` of a module that is called like the event.
        let event = if procedure.name.lower == "main" { module_name } else { procedure.name.lower };
        let Some(start) = reach::start(event, *is_document) else { continue };
        let is_dangerous = anywhere || any_event || reaching.contains(&index);
        let id = match start {
            _ if !is_dangerous => finding::VBA_STARTUP,
            Start::Opening => finding::VBA_AUTOEXEC,
            Start::Showing => finding::VBA_EVENT,
        };
        scan.finding(id, part, &format!("{}:{}", module.name, procedure.line), procedure.name.text);
    }
}

fn location(project: &Project, call: Option<&Call>) -> String {
    match call.and_then(|call| Some((call, project.modules.get(call.module)?))) {
        Some((call, module)) => format!("{}:{}", module.name, call.line),
        None => project.path.clone(),
    }
}
