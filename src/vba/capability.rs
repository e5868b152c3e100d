//! What a call can do, judged by the function, the class it is called on, and its arguments.

use foldhash::{HashMap, HashMapExt, HashSet};
use std::cell::RefCell;
use std::sync::LazyLock;

use super::code::Declare;
use super::fold::{GAP, Value};
use super::trace::{Call, HIDDEN_OBJECT, OPENED_OBJECT, UNKNOWN_OBJECT};
use crate::command::{library, program as command};
use crate::excel4::{self, Handed};
use crate::finding::{self, FindingId};

/// Something that a project can do or hide.
#[derive(Clone, Debug, PartialEq)]
pub struct Capability {
    /// The finding.
    pub id: FindingId,
    /// The call that does it, by position in the list of calls; `None` for a declaration.
    pub call: Option<usize>,
    /// What was seen.
    pub evidence: String,
}

/// What rules look at beside the call itself.
pub struct Context<'a> {
    /// Declared external functions, by the lower-case name that the code uses.
    pub declares: HashMap<&'a str, Declare<'a>>,
    /// Every string of the source in lower case, one after the other.
    pub literals: String,
    /// What was looked up in them before: each look is a pass over all of them.
    looked_up: RefCell<HashMap<String, bool>>,
    /// Formulas that were handed over before, and what they do: each is followed once.
    handed: RefCell<HashMap<String, Option<Handed>>>,
}

/// Different words that are looked up in the strings of a project.
const MAX_LOOKS: usize = 500;
/// Different formulas that are followed; honest code hands over a few.
const MAX_HANDED: usize = 100;

impl<'a> Context<'a> {
    /// What rules look at, with nothing looked up yet.
    pub fn new(declares: HashMap<&'a str, Declare<'a>>, literals: String) -> Self {
        Self { declares, literals, looked_up: RefCell::new(HashMap::new()), handed: RefCell::new(HashMap::new()) }
    }

    /// What a formula does that the code hands over. `None` if nobody knows, or after too many of them.
    fn handed(&self, formula: &str) -> Option<Handed> {
        let mut handed = self.handed.borrow_mut();
        if let Some(known) = handed.get(formula) {
            return known.clone();
        }
        if handed.len() >= MAX_HANDED {
            return None;
        }
        let found = excel4::handed(formula);
        handed.insert(formula.to_owned(), found.clone());
        found
    }

    /// Whether a string of the source contains the word. `true` after too many looks.
    fn names(&self, word: &str) -> bool {
        let mut looked_up = self.looked_up.borrow_mut();
        if let Some(known) = looked_up.get(word) {
            return *known;
        }
        if looked_up.len() >= MAX_LOOKS {
            return true;
        }
        let is_named = self.literals.contains(word);
        looked_up.insert(word.to_owned(), is_named);
        is_named
    }
}

/// Functions and members that a rule is about, in lower case.
const NAMES: &[&str] = &[
    "addcode",
    "addfromfile",
    "addfromstring",
    "attachedtemplate=",
    "automationsecurity=",
    "callbyname",
    "copyfile",
    "create",
    "createobject",
    "createtextfile",
    "ddeexecute",
    "ddeinitiate",
    "eval",
    "exec",
    "execmethod",
    "execmethod_",
    "execscript",
    "executeexcel4macro",
    "executestatement",
    "filecopy",
    "getobject",
    "import",
    "insertlines",
    "load",
    "macscript",
    "movefile",
    "name",
    "navigate",
    "navigate2",
    "onkey",
    "ontime",
    "open",
    "open#",
    "opentextfile",
    "privateprofilestring",
    "put#",
    "registertask",
    "registertaskdefinition",
    "regwrite",
    "replaceline",
    "responsebody",
    "run",
    "saveas",
    "saveas2",
    "savecopyas",
    "savetofile",
    "sendkeys",
    "setdwordvalue",
    "setstringvalue",
    "shell",
    "shellexecute",
    "showwindow=",
    "transformnode",
    "transformnodetoobject",
    "virusprotection=",
    "write#",
    "executeshellcommand",
    "invokeverb",
    "invokeverbex",
    "doit",
    "organizercopy",
    "deletelines",
];

/// Whether a rule is about calls of this name.
pub fn matters(name: &str) -> bool {
    static KNOWN: LazyLock<HashSet<&str>> = LazyLock::new(|| NAMES.iter().copied().collect());
    KNOWN.contains(name)
}

/// Judges every call of a project. Of several readings of a line, the one that says most is kept.
pub fn judge(calls: &[Call], context: &Context<'_>) -> Vec<Capability> {
    let calls: Vec<Call> = calls.iter().map(|call| resolved(call, context)).collect();
    let project = Surroundings::of(&calls, context);
    let mut found: HashMap<(FindingId, usize, u32), Capability> = HashMap::new();
    for (position, call) in calls.iter().enumerate() {
        let mut add = |id, evidence: String| {
            let capability = Capability { id, call: Some(position), evidence };
            let kept = found.entry((id, call.module, call.line)).or_insert_with(|| capability.clone());
            if kept.evidence.contains(GAP) && !capability.evidence.contains(GAP) {
                *kept = capability;
            }
        };
        running(call, &project, &mut add);
        files(call, &mut add);
        network(call, &project, &mut add);
        tampering(call, &mut add);
        hiding(call, context, &mut add);
    }
    let mut found: Vec<Capability> = found.into_values().collect();
    found.sort_by_key(|capability| capability.call);
    found.extend(native(context));
    found
}

/// What other calls of the project add to the meaning of one.
struct Surroundings {
    /// A window style is set: a process is started hidden.
    sets_window: bool,
    /// Octets of an answer are read, and octets are written to a file.
    keeps_answer: bool,
    stores: bool,
    /// A stylesheet comes from the web, or has script in it.
    has_script: bool,
}

impl Surroundings {
    fn of(calls: &[Call], context: &Context<'_>) -> Self {
        let has = |name: &str| calls.iter().any(|call| call.name == name);
        Self {
            sets_window: has("showwindow="),
            keeps_answer: has("responsebody"),
            stores: has("savetofile") || has("put#") || has("write#"),
            has_script: context.literals.contains(":script")
                || calls.iter().any(|call| call.name == "load" && is_web_file(call)),
        }
    }
}

type Add<'f> = &'f mut dyn FnMut(FindingId, String);

/// A call of a declared function under the name that the library gives it; a `CallByName` as the
/// call that it makes.
fn resolved(call: &Call, context: &Context<'_>) -> Call {
    if call.class.is_empty()
        && let Some(declare) = context.declares.get(call.name.as_str())
    {
        return Call { name: symbol(declare), class: "declare".to_owned(), ..call.clone() };
    }
    match (call.name.as_str(), call.arguments.as_slice()) {
        ("callbyname", [object, name, _, arguments @ ..]) if name.text().is_some() => {
            let class = if let Value::Object(class) = object { class.clone() } else { UNKNOWN_OBJECT.to_owned() };
            let name = name.text().unwrap_or_default().to_lowercase();
            Call { class, name, arguments: arguments.to_vec(), ..call.clone() }
        }
        _ => call.clone(),
    }
}

/// The function behind a declaration, without the letter for ANSI or Unicode.
fn symbol(declare: &Declare<'_>) -> String {
    let symbol = declare.symbol.to_ascii_lowercase();
    let is_variant = declare.symbol.ends_with(['A', 'W']) && symbol.len() > 6;
    if is_variant { symbol.get(..symbol.len().saturating_sub(1)).unwrap_or_default().to_owned() } else { symbol }
}

fn shown(call: &Call) -> String {
    let name = call.name.trim_end_matches(['#', '=']);
    let arguments: Vec<String> = call.arguments.iter().take(3).map(Value::shown).collect();
    let class =
        if call.class.is_empty() || call.class == "declare" { String::new() } else { format!("{}.", call.class) };
    let text = format!("{class}{name} {}", arguments.join(", "));
    text.trim_end_matches([' ', ',']).to_owned()
}

fn argument(call: &Call, n: usize) -> &Value {
    call.arguments.get(n).unwrap_or(&Value::Unknown)
}

fn is_any(class: &str, parts: &[&str]) -> bool {
    parts.iter().any(|part| class.contains(part))
}

/// WScript.Shell, by its name, its type, or its class id.
fn is_script_shell(class: &str) -> bool {
    is_any(
        class,
        &["wscript.shell", "wshshell", "72c24dd5-d70a-438b-8a42-98424b88afb8", "f935dc22-1cf0-11d0-adb9-00c04fd58a0b"],
    )
}

fn is_management(class: &str) -> bool {
    is_any(class, &["winmgmts", "win32_process", "wbemscripting", "swbem"])
}

fn is_hidden(class: &str) -> bool {
    class.starts_with(HIDDEN_OBJECT)
}

/// Starting programs.
fn running(call: &Call, project: &Surroundings, add: Add<'_>) {
    let class = call.class.as_str();
    let command = argument(call, 0);
    let is_command = is_commandlike(command);
    let starts = match call.name.as_str() {
        "shell" => {
            (class.is_empty() || class == UNKNOWN_OBJECT) && !call.arguments.is_empty() && !opens_folder(command)
        }
        "run" => {
            is_script_shell(class)
                || is_hidden(class)
                || (!is_application(class) && (is_command || is_hidden_window(call)))
        }
        "exec" => is_script_shell(class) || is_hidden(class) || (!class.is_empty() && is_command),
        "create" => {
            is_management(class)
                || is_hidden(class)
                || class == OPENED_OBJECT
                || (!class.is_empty() && (is_command || (project.sets_window && call.arguments.len() == 4)))
        }
        "execmethod" | "execmethod_" => is_management(class),
        "registertask" | "registertaskdefinition" => is_any(class, &["schedule"]) || is_hidden(class),
        "winexec" | "createprocess" | "createprocessasuser" => class == "declare",
        "sendkeys" | "ddeinitiate" | "ddeexecute" => is_command,
        "executeshellcommand" => true,
        "open" => is_shell_application(class) && !command.text().is_some_and(|target| command::is_shown(&target)),
        "invokeverb" | "invokeverbex" | "doit" => is_shell_application(class),
        // Script that another engine runs. Honest code lets one read JSON.
        "executestatement" | "addcode" | "execscript" | "eval" => {
            is_any(&command.shown().to_lowercase(), &["activexobject", "createobject", "wscript"])
        }
        // A stylesheet with script in it, or from the web.
        "transformnode" | "transformnodetoobject" => project.has_script,
        "macscript" => is_mac_command(&command.shown()),
        _ => false,
    };
    if starts {
        return start(call, command, add);
    }
    if call.name.starts_with("shellexecute") && !call.arguments.is_empty() {
        let (target, parameters) =
            if class == "declare" { (argument(call, 2), argument(call, 3)) } else { (command, argument(call, 1)) };
        if !class.is_empty() && !target.text().is_some_and(|target| command::is_shown(&target)) {
            let line = Value::Partial(format!("{} {}", target.shown(), parameters.shown()));
            start(call, &line, add);
        }
    }
}

/// `explorer.exe C:\folder`
fn opens_folder(command: &Value) -> bool {
    let text = command.text().unwrap_or_default().to_lowercase();
    let (program, rest) = text.split_once(' ').unwrap_or((&text, ""));
    matches!(program.rsplit('\\').next(), Some("explorer" | "explorer.exe")) && !command::is_runnable(rest)
}

/// Whether AppleScript hands something to a shell that fetches or runs.
fn is_mac_command(script: &str) -> bool {
    let script = script.to_lowercase();
    let mut words = script.split(|c: char| !c.is_alphanumeric());
    script.contains("do shell script")
        && words
            .any(|word| ["curl", "python", "perl", "ruby", "bash", "sh", "osascript", "chmod", "nohup"].contains(&word))
}

fn start(call: &Call, command: &Value, add: Add<'_>) {
    match command::interpreter(&command.shown()) {
        Some(_) => add(finding::VBA_RUN_INTERPRETER, shown(call)),
        None => add(finding::VBA_RUN_PROGRAM, shown(call)),
    }
}

fn is_application(class: &str) -> bool {
    class.is_empty() || class.ends_with("application") || is_any(class, &["excel.", "word.", "powerpoint.", "access."])
}

fn is_commandlike(value: &Value) -> bool {
    let text = value.shown();
    let program = text.split_whitespace().next().unwrap_or_default();
    command::interpreter(&text).is_some() || (command::is_runnable(program) && !command::is_url(&text))
}

/// `….Run command, 0` on the result of something unknown: no macro takes a window style.
fn is_hidden_window(call: &Call) -> bool {
    call.class.starts_with(UNKNOWN_OBJECT) && call.arguments.len() >= 2 && argument(call, 1).number() == Some(0.0)
}

fn is_web_file(call: &Call) -> bool {
    command::is_url(&argument(call, 0).shown())
}

/// Shell.Application, by its name, its type, or the class ids of it and of the windows that give it.
fn is_shell_application(class: &str) -> bool {
    const NAMES: &[&str] = &[
        "shell.application",
        "shell32.shell",
        "13709620-c279-11ce-a49e-444553540000",
        "9ba05972-f6a8-11cf-a442-00a0c90a8f39",
        "c08afd90-f2a1-11d1-8455-00a0c91f3880",
    ];
    is_any(class, NAMES)
}

/// Writing files.
fn files(call: &Call, add: Add<'_>) {
    let target = match call.name.as_str() {
        "savetofile" | "createtextfile" => argument(call, 0),
        "open#" if argument(call, 1).text().is_some_and(|mode| mode == "output" || mode == "append") => {
            argument(call, 0)
        }
        // Opening for Binary may be reading; a name that runs is no file one reads.
        "open#" if argument(call, 1).text().is_some_and(|mode| mode == "binary") => {
            if !command::is_runnable(&argument(call, 0).shown()) {
                return;
            }
            argument(call, 0)
        }
        "opentextfile" if argument(call, 1).number().is_some_and(|mode| mode == 2.0 || mode == 8.0) => {
            argument(call, 0)
        }
        "copyfile" | "filecopy" | "movefile" | "name" if call.arguments.len() >= 2 => argument(call, 1),
        "saveas" | "saveas2" | "savecopyas" if command::is_startup(&argument(call, 0).shown()) => argument(call, 0),
        _ => return,
    };
    let path = target.shown();
    if command::is_runnable(&path) || command::is_startup(&path) {
        add(finding::VBA_DROP_FILE, shown(call));
    } else {
        add(finding::VBA_WRITE_FILE, shown(call));
    }
}

fn is_web_client(class: &str) -> bool {
    is_any(class, &["xmlhttp", "winhttp"]) || is_hidden(class)
}

/// Fetching from the network. A request alone keeps its answer to itself; it fetches a file if
/// the project stores what came as octets.
fn network(call: &Call, project: &Surroundings, add: Add<'_>) {
    let target = argument(call, 0).shown();
    let is_fetch = match call.name.as_str() {
        "urldownloadtofile" | "urldownloadtocachefile" => (call.class == "declare").then_some(true),
        "internetreadfile" | "internetopenurl" if call.class == "declare" => Some(project.stores),
        "open" if is_web_client(&call.class) && is_method(argument(call, 0)) => {
            Some(project.stores && project.keeps_answer)
        }
        "open" | "navigate" | "navigate2" | "load" if command::is_url(&target) => Some(false),
        "getobject" if target.to_lowercase().starts_with("script:") => Some(true),
        "attachedtemplate=" if command::is_url(&target) => Some(true),
        _ => None,
    };
    match is_fetch {
        Some(true) => add(finding::VBA_DOWNLOAD, shown(call)),
        Some(false) => add(finding::VBA_WEB_REQUEST, shown(call)),
        None => {}
    }
}

fn is_method(value: &Value) -> bool {
    value.text().is_some_and(|method| ["get", "post", "head", "put"].contains(&method.to_lowercase().as_str()))
}

/// Settings and code that protect the user.
fn tampering(call: &Call, add: Add<'_>) {
    let text: String = call.arguments.iter().map(Value::shown).collect::<Vec<_>>().join(" ").to_lowercase();
    let is_code = is_any(&call.class, &["codemodule", "vbcomponents", "vbproject"]);
    let tampers = match call.name.as_str() {
        "addfromstring" | "addfromfile" | "insertlines" | "replaceline" | "deletelines" => {
            is_code || !call.class.is_empty()
        }
        // Copies modules between documents and the template of all documents.
        "organizercopy" => true,
        "import" => is_code,
        "regwrite" | "setstringvalue" | "setdwordvalue" => true,
        "automationsecurity=" => argument(call, 0).number() == Some(1.0),
        "virusprotection=" => true,
        "privateprofilestring" => is_any(&text, &["vbawarnings", "accessvbom", "\\security", "\\run"]),
        _ => is_any(&text, &["accessvbom", "vbawarnings"]),
    };
    if tampers {
        add(finding::VBA_TAMPER, shown(call));
    }
}

/// Names of objects and functions that are computed.
fn hiding(call: &Call, context: &Context<'_>, add: Add<'_>) {
    match call.name.as_str() {
        "createobject" | "getobject" if is_creator(&call.class) && is_hidden_name(call, context) => {
            add(finding::VBA_HIDDEN_OBJECT, shown(call));
        }
        // Reading and setting properties by name is how tables are filled; 1 is a method.
        "callbyname" if argument(call, 2).number().is_none_or(|kind| kind == 1.0) => {
            let name = argument(call, 1);
            if name.text().is_none() && *name != Value::Parameter {
                add(finding::VBA_DYNAMIC_CALL, shown(call));
            }
        }
        "run" if call.class == "application" && argument(call, 0).target().is_none() => {
            // A property that holds a name is how callbacks are kept.
            if matches!(argument(call, 0), Value::Unknown | Value::Partial(_)) {
                add(finding::VBA_DYNAMIC_CALL, shown(call));
            }
        }
        "executeexcel4macro" => {
            let text = argument(call, 0).shown();
            match context.handed(&text) {
                Some(handed) => {
                    handed.capabilities.into_iter().for_each(|(id, evidence)| add(id, evidence));
                    if handed.calls_macros {
                        add(finding::VBA_CALLS_XLM, shown(call));
                    }
                }
                // Nobody knows what it comes to.
                None => add(finding::VBA_DYNAMIC_CALL, shown(call)),
            }
        }
        _ => {}
    }
}

fn is_creator(class: &str) -> bool {
    class.is_empty()
        || class.ends_with("application")
        || class == "wscript"
        || class == "server"
        || class == UNKNOWN_OBJECT
}

/// Octets of the name of a class that are looked at.
const MAX_CLASS_TEXT: usize = 400;

/// Whether the class is named nowhere in the source as one word, or by its number only.
fn is_hidden_name(call: &Call, context: &Context<'_>) -> bool {
    let class = argument(call, 0);
    let text = class.shown().to_lowercase();
    match class {
        Value::Parameter | Value::Empty => false,
        // `GetObject(path)` opens a document.
        Value::Unknown | Value::Object(_) => call.name == "createobject" && !call.arguments.is_empty(),
        Value::Partial(_) | Value::Text(_) => {
            // The longest known class names have some 40 characters, monikers a few times that.
            let text = text.get(..text.floor_char_boundary(MAX_CLASS_TEXT)).unwrap_or(&text);
            let words = text
                .split(|c: char| !(c.is_alphanumeric() || c == '_'))
                .filter(|word| word.len() >= 4 && !word.contains(GAP));
            let is_split = words.clone().any(|word| !context.names(word));
            text.trim_start().starts_with("new:") || (is_split && words.count() > 0)
        }
        _ => false,
    }
}

/// Declared functions that load, inject or run. What only starts or fetches is judged by its call.
fn native(context: &Context<'_>) -> Vec<Capability> {
    let mut found = Vec::new();
    for declare in context.declares.values() {
        let symbol = symbol(declare);
        let library = declare.library.to_lowercase();
        // A library is a name or a DLL; other extensions and ordinals hide what is loaded.
        let is_odd = library.rsplit_once('.').is_some_and(|(_, extension)| {
            !["dll", "ocx", "dylib", "drv", "framework", "exe", "so", "xll"].contains(&extension)
        }) && !library.contains("/");
        if library::loads(&symbol) || is_odd {
            let evidence = format!("Declare {} Lib {}", declare.symbol, declare.library);
            found.push(Capability { id: finding::VBA_NATIVE_CALL, call: None, evidence });
        }
    }
    found.sort_by(|a, b| a.evidence.cmp(&b.evidence));
    found
}
