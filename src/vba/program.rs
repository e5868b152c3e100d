//! A whole project: its modules' code, and who has which name.

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};

use super::code::{self, Code, Statement, after, assignment_sign, is_keyword, split_list, starts_with};
use super::place::Places;

/// A project whose modules were parsed.
pub struct Program<'t, 'a> {
    /// The modules' names, in lower case as all names here, and code.
    pub modules: Vec<(String, Code<'t, 'a>)>,
    /// Every procedure: its module, and its position there.
    pub procedures: Vec<(usize, usize)>,
    /// Where a name's procedures are.
    pub by_name: HashMap<&'a str, Vec<usize>>,
    /// Names that something is assigned to anywhere.
    pub(super) assigned: HashSet<&'a str>,
    /// Names declared at module level.
    pub(super) shared: HashSet<&'a str>,
    module_names: HashSet<String>,
    /// What stands in forms and properties.
    pub places: Places,
}

impl<'t, 'a> Program<'t, 'a> {
    /// Indexes the modules.
    pub fn new(modules: Vec<(String, Code<'t, 'a>)>) -> Self {
        let module_names = modules.iter().map(|(name, _)| name.clone()).collect();
        let mut program = Self {
            modules,
            procedures: Vec::new(),
            by_name: HashMap::new(),
            assigned: HashSet::new(),
            shared: HashSet::new(),
            module_names,
            places: Places::default(),
        };
        for (number, (_, code)) in program.modules.iter().enumerate() {
            for (position, procedure) in code.procedures.iter().enumerate() {
                let index = program.procedures.len();
                program.procedures.push((number, position));
                program.by_name.entry(procedure.name.lower).or_default().push(index);
                program.assigned.extend(&procedure.parameters);
                program.assigned.extend(procedure.body.iter().filter_map(|statement| assigned_name(statement)));
            }
            for statement in &code.declarations {
                program.shared.extend(declared_names(statement));
            }
            program.assigned.extend(code.declarations.iter().filter_map(|statement| assigned_name(statement)));
        }
        program
    }

    /// The procedure at a position in [`procedures`](Self::procedures).
    pub fn procedure(&self, index: usize) -> Option<&code::Procedure<'t, 'a>> {
        let (module, position) = *self.procedures.get(index)?;
        self.modules.get(module)?.1.procedures.get(position)
    }

    /// Whether a module has this name.
    pub fn is_module(&self, name: &str) -> bool {
        self.module_names.contains(name)
    }
}

/// The variable that a statement assigns to.
fn assigned_name<'a>(statement: Statement<'_, 'a>) -> Option<&'a str> {
    let first = code::name(statement)?.lower;
    if matches!(first, "set" | "let" | "const" | "for" | "private" | "public" | "global" | "static" | "dim") {
        let rest = after(statement, 1);
        let rest = if starts_with(rest, "Each") || starts_with(rest, "Const") { after(rest, 1) } else { rest };
        return code::name(rest).map(|name| name.lower);
    }
    assignment_sign(statement)?;
    Some(first)
}

/// The variables and constants that a statement at module level declares.
fn declared_names<'a>(statement: Statement<'_, 'a>) -> Vec<&'a str> {
    const WORDS: &[&str] = &["Dim", "Private", "Public", "Global", "Const", "Static", "WithEvents"];
    if !WORDS.iter().any(|word| starts_with(statement, word)) {
        return Vec::new();
    }
    let name_of = |item: Statement<'_, 'a>| {
        let words = item.iter().take_while(|token| WORDS.iter().any(|word| is_keyword(token, word))).count();
        code::name(after(item, words)).map(|name| name.lower)
    };
    split_list(statement).filter_map(name_of).collect()
}
